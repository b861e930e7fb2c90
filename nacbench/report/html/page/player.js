// Players: every voice of an item runs on one clock, so a switch keeps the playhead.

const told = () => {}; // a failure to decode that onfailure has shown
const FADE_S = 0.008; // long enough to hide the step between two signals, too short to hear
let playing = null; // one item at a time
let context = null;

function audioContext() {
  context ??= new AudioContext();
  return context;
}

async function soundOf(id) {
  const holder = document.getElementById(id);
  const bytes = Uint8Array.from(atob(holder.textContent), (sign) => sign.charCodeAt(0));
  return audioContext().decodeAudioData(bytes.buffer);
}

class Player {
  constructor(item, first, onchange, onfailure) {
    this.item = item;
    this.onchange = onchange;
    this.onfailure = onfailure; // a browser without this coding; told once per voice
    this.buffers = new Map();
    this.current = first;
    this.before = item.reference;
    this.offset = 0; // seconds into the excerpt while paused
    this.started = null; // time of the context at which offset 0 would have been
    this.source = null;
  }

  get duration() {
    return this.item.duration_s;
  }

  get position() {
    return this.started === null ? this.offset : this.at(audioContext().currentTime);
  }

  // The playhead at a time of the context, which moves on even within a function.
  at(time) {
    return Math.max(0, time - this.started) % this.duration;
  }

  buffer(id) {
    if (!this.buffers.has(id)) {
      const decoding = soundOf(id);
      decoding.catch((error) => this.onfailure(error));
      this.buffers.set(id, decoding);
    }
    return this.buffers.get(id);
  }

  async play() {
    if (playing && playing !== this) playing.pause();
    playing = this;
    const wanted = this.current;
    const buffer = await this.buffer(wanted);
    await audioContext().resume();
    if (wanted !== this.current || this.started !== null) return;
    this.started = audioContext().currentTime - this.offset;
    this.sound(buffer);
    this.onchange();
  }

  pause() {
    if (this.started === null) return;
    this.offset = this.position;
    this.started = null;
    this.fade();
    this.onchange();
  }

  // Start a voice where the clock is; the one that sounds fades out at the same moment.
  sound(buffer) {
    const now = audioContext().currentTime;
    this.fade();
    const source = new AudioBufferSourceNode(audioContext(), { buffer, loop: true, loopEnd: this.duration });
    const gain = new GainNode(audioContext(), { gain: 0 });
    source.connect(gain).connect(audioContext().destination);
    gain.gain.setValueAtTime(0, now);
    gain.gain.linearRampToValueAtTime(1, now + FADE_S);
    source.start(now, this.at(now));
    this.source = { source, gain };
  }

  fade() {
    if (!this.source) return;
    const { source, gain } = this.source;
    const now = audioContext().currentTime;
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(0, now + FADE_S);
    source.stop(now + FADE_S);
    this.source = null;
  }

  async choose(id) {
    if (id === this.current) return;
    [this.before, this.current] = [this.current, id];
    this.onchange();
    const buffer = await this.buffer(id); // the old voice sounds until the new one is decoded
    if (this.current === id && this.started !== null) this.sound(buffer);
    this.onchange();
  }

  seek(seconds) {
    const place = Math.min(Math.max(0, seconds), this.duration - 0.001);
    if (this.started === null) this.offset = place;
    else {
      this.started = audioContext().currentTime - place;
      this.buffer(this.current).then((buffer) => this.started !== null && this.sound(buffer), told);
    }
    this.onchange();
  }
}

// Voices with their rows and scores, worst of the chosen metric first.
function rankedVoices(item, section) {
  const metric = content.metrics[choice.metric];
  const records = clipRows(section).filter((record) => record.clip.id === item.clip);
  const scoreOf = (row) => records.find((record) => record.row === row)?.score(choice.metric) ?? null;
  const sign = metric.better === false ? -1 : 1;
  return item.voices.map((voice) => ({ ...voice, about: section.rows[voice.row], score: scoreOf(section.rows[voice.row]) }))
    .sort((a, b) => (a.score === null) - (b.score === null) || sign * (a.score - b.score));
}

function voiceList(item, section, index, player) {
  const metric = content.metrics[choice.metric];
  const radio = (id, ...label) => el("label", { class: id ? "voice" : "voice missing" },
    el("input", { type: "radio", name: `voice-${index}`, value: id || "", disabled: !id, checked: id && id === player.current,
      onchange: () => player.choose(id).catch(told) }), label);
  return [
    radio(item.reference, el("strong", {}, "Reference")),
    ...rankedVoices(item, section).map(({ about, score: value, sound, reason }) => radio(sound, swatch(about.series), el("span", { class: "name" }, about.name),
      el("span", { class: "value" }, value === null ? "" : score(value, metric)), reason ? el("span", { class: "few" }, reason) : null)),
  ];
}

function itemCard(item, index) {
  const section = content.sections[item.section];
  const clip = section.clips.find((candidate) => candidate.id === item.clip);
  const tags = Object.entries(clip.tags).map(([key, value]) => `${key}: ${value}`).join(" · ");
  const heading = el("h3", {}, `${index + 1}. ${item.clip}`, content.sections.length > 1 ? el("span", { class: "count" }, ` ${sectionTitle(section)}`) : null);
  const how = item.failed ? `${item.failed} codecs have no score on it.` : `${fixed(Math.abs(item.badness), 2)} standard deviations ${item.badness >= 0 ? "below" : "above"} the average clip.`;
  const about = el("p", { class: "tags" }, `${how} ${tags}`);
  if (!item.reference) return el("article", { class: "item" }, heading, about, el("p", { class: "warning" }, `No players: ${item.reason}.`));
  const pictures = { reference: el("canvas", { width: 640, height: 160, role: "img" }), current: el("canvas", { width: 640, height: 160, role: "img" }) };
  const caption = el("figcaption");
  const heads = [el("span", { class: "head" }), el("span", { class: "head" })];
  const button = el("button", { type: "button", class: "play", onclick: toggle });
  const slider = el("input", { type: "range", min: 0, max: item.duration_s, step: 0.01, value: 0, "aria-label": "Position in seconds", oninput: () => player.seek(Number(slider.value)) });
  const clock = el("span", { class: "clock" });
  const worst = rankedVoices(item, section).find((voice) => voice.sound)?.sound ?? item.reference;
  const list = el("fieldset", { class: "voices" });
  const problem = el("p", { class: "warning", role: "alert", hidden: true });
  const player = new Player(item, worst, refresh, (error) => {
    problem.textContent = `This browser cannot decode the audio (${error.message}). Another one can, or '--audio flac'.`;
    problem.hidden = false;
  });
  let drawn = null;
  const pick = (id) => player.choose(id).catch(told);

  function toggle() {
    return player.started === null ? player.play().catch(told) : player.pause();
  }

  function nameOf(id) {
    const voice = item.voices.find((candidate) => candidate.sound === id);
    return voice ? section.rows[voice.row].name : "Reference";
  }

  async function draw() {
    if (drawn === null) {
      drawn = item.reference;
      drawSpectrogram(pictures.reference, await player.buffer(item.reference), item.sample_rate_hz / 2);
    }
    const wanted = player.current;
    drawSpectrogram(pictures.current, await player.buffer(wanted), item.sample_rate_hz / 2);
    if (wanted !== player.current) return draw();
    drawn = wanted;
    return undefined;
  }

  function refresh() {
    const on = player.started !== null;
    button.textContent = on ? "Pause" : "Play";
    button.setAttribute("aria-pressed", on);
    for (const input of list.querySelectorAll("input")) input.checked = input.value === player.current;
    pictures.reference.setAttribute("aria-label", `Spectrogram of the reference, ${item.clip}`);
    pictures.current.setAttribute("aria-label", `Spectrogram of ${nameOf(player.current)}, ${item.clip}`);
    caption.textContent = `Above: reference. Below: ${nameOf(player.current)}. 0 to ${fixed(item.sample_rate_hz / 2000, 1)} kHz, ${-FLOOR_DB + CEILING_DB} dB from dark to bright.`;
    card.dataset.voice = nameOf(player.current);
    if (drawn !== null && drawn !== player.current) draw().catch(told);
    tick();
  }

  function tick() {
    const place = player.position;
    slider.value = place;
    clock.textContent = `${fixed(place, 1)} / ${fixed(item.duration_s, 1)} s`;
    for (const head of heads) head.style.left = `${(place / item.duration_s) * 100}%`;
    if (player.started !== null) requestAnimationFrame(tick);
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inputs = [...list.querySelectorAll("input:not(:disabled)")];
    const own = {
      " ": toggle,
      r: () => pick(item.reference),
      x: () => pick(player.before),
      ",": () => player.seek(player.position - 1),
      ".": () => player.seek(player.position + 1),
    }[event.key.toLowerCase()];
    const number = "123456789".indexOf(event.key);
    if (own && !(event.key === " " && event.target.tagName === "BUTTON")) own();
    else if (number >= 0 && inputs[number + 1]) pick(inputs[number + 1].value);
    else return;
    event.preventDefault();
  }

  const part_s = item.whole_s - item.duration_s > 0.05 ? `Excerpt from ${fixed(item.start_s, 1)} s, where it is loudest. ` : "";
  const seek = (event) => player.seek((event.offsetX / event.currentTarget.clientWidth) * item.duration_s);
  const frame = (canvas, head) => el("div", { class: "spectrogram", onclick: seek }, canvas, head);
  const fill = () => { list.replaceChildren(el("legend", {}, `Voices, worst ${content.metrics[choice.metric].name} first`), ...voiceList(item, section, index, player)); };
  const card = el("article", { class: "item", onkeydown: keys, "aria-label": item.clip },
    heading, about, problem, el("div", { class: "columns" },
      el("div", {}, el("div", { class: "transport" }, button, slider, clock), list),
      el("figure", {}, frame(pictures.reference, heads[0]), frame(pictures.current, heads[1]), caption)));
  about.append(part_s ? ` · ${part_s}` : "");
  onChoice(fill);
  fill();
  refresh();
  // Decoding waits until the item is near: forty voices of four items are a lot at once.
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    draw().then(() => item.voices.forEach(({ sound }) => sound && player.buffer(sound))).catch(told);
  }, { rootMargin: "200px" }).observe(card);
  return card;
}

function listeningPart() {
  if (!content.items.length) return null;
  return part("listening", "Worst clips",
    "The clips on which codecs fail or do worst by the leading metric, compared within each setting. A switch keeps the playhead; delay is removed, gain is as the codec left it.",
    el("p", { class: "tags" }, content.audio.note, " Keys inside a clip: Space plays, R reference, 1–9 codecs, X back and forth, comma and full stop 1 s back and on."),
    content.items.map(itemCard));
}
