// One trial: hear the reference and the numbered signals, give each of them a grade.

import { Engine, prepare, SILENCE } from "./engine.js";
import { listen } from "./keys.js";
import { nonce } from "./outbox.js";
import { Expired, load, prefetch } from "./signals.js";
import { Slider } from "./slider.js";
import { Waveform } from "./waveform.js";

const HEARD_S = 1; // of a signal, before it counts as heard
const CONFIRM_MS = 4000; // for the next page to come before it is asked for again

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

export class Trial {
  #engine = null;
  #signals = null; // loaded, until an engine takes them
  #current = SILENCE; // what sounds
  #selected = 0; // what sounds when it plays
  #playing = false;
  #log = {};
  #submitted = null;
  #closed = false;

  constructor(root, { base, outbox, ask }) {
    this.root = root;
    this.base = base;
    this.outbox = outbox;
    this.ask = ask; // asks the page for its next state
    this.unlisten = listen((...found) => this.#obey(...found));
    this.hiddenSince = null;
    this.onvisibility = () => this.#visibility();
    document.addEventListener("visibilitychange", this.onvisibility);
    outbox.onstate = (state) => this.#network(state);
    outbox.onstored = (event) => {
      if (event.nonce === this.#submitted) this.#goOn();
    };
  }

  // Called with every state of the page; only another trial starts anew.
  update(data) {
    const same = this.data?.trial.key === data.trial.key;
    const moved = same && this.data.trial.signals.join() !== data.trial.signals.join();
    this.data = data;
    this.texts = data.texts;
    if (same && !(moved && this.expired)) return;
    if (!same) this.#build();
    this.#load();
  }

  #build() {
    const { trial, texts } = this.data;
    const count = trial.signals.length - 1;
    this.waveform?.close();
    this.root.className = "trial";
    this.root.innerHTML = `
      <header><h1></h1><p class="question"></p><p class="saved" role="status"></p></header>
      <div class="waveform"></div>
      <div class="desk">
        <div class="transport">
          <button class="signal reference" data-signal="0"><kbd>0</kbd><b></b></button>
          <button class="toggle"></button>
          <button class="whole"></button>
          <button class="help"></button>
        </div>
        <ol class="scale" aria-hidden="true"></ol>
        <div class="columns"></div>
      </div>
      <footer><p class="todo" role="status"></p><button class="next"></button></footer>
      <dialog class="keys"><h2></h2><dl></dl><form method="dialog"><button></button></form></dialog>
      <dialog class="none"><p></p><form method="dialog">
        <button class="stay" value="stay"></button><button value="go"></button>
      </form></dialog>`;
    const $ = (selector) => this.root.querySelector(selector);
    const say = (selector, text) => ($(selector).textContent = text);
    say("h1", fill(trial.phase === "training" ? texts.training : texts.trial, trial));
    say(".question", texts.question);
    say(".reference b", texts.reference);
    say(".whole", texts.whole);
    say(".help", texts.keys);
    say(".next", texts.next);
    say(".keys h2", texts.keys);
    say(".keys button", texts.close);
    say(".none p", texts.no_hundred);
    say(".none .stay", texts.stay);
    say(".none [value=go]", texts.go);
    for (const [keys, meaning] of texts.key_list) {
      $(".keys dl").append(
        Object.assign(document.createElement("dt"), { textContent: keys }),
        Object.assign(document.createElement("dd"), { textContent: meaning }),
      );
    }
    for (const label of [...texts.scale].reverse()) {
      $(".scale").append(Object.assign(document.createElement("li"), { textContent: label }));
    }
    this.root.style.setProperty("--count", count);
    this.waveform = new Waveform($(".waveform"), texts);
    this.waveform.onloop = (start, end) => {
      this.#engine?.loop(start, end);
      this.#note("loop", { start, end });
    };
    this.waveform.onseek = (position) => this.#engine?.seek(position);
    this.sliders = Array.from({ length: count }, (_, slot) => this.#column($(".columns"), slot));
    for (const [slot, score] of Object.entries(trial.ratings)) {
      this.sliders[slot].score = score;
      this.#rated(Number(slot));
    }
    // What this browser still has to post is newer than what the server knew.
    for (const event of this.outbox.waiting) {
      if (event.type !== "rating" || event.trial !== trial.key) continue;
      this.sliders[event.slot].score = event.score;
      this.#rated(event.slot);
    }
    $(".reference").onclick = () => this.#hear(0);
    $(".toggle").onclick = () => this.#toggle();
    $(".whole").onclick = () => this.waveform.whole();
    $(".help").onclick = () => $(".keys").showModal();
    $(".next").onclick = () => this.#next();
    $(".none").onclose = () => $(".none").returnValue === "go" && this.#submit(true);
    // A submission that an earlier visit could not post is on its way already.
    const posted = (event) => event.type === "submit" && event.trial === trial.key;
    this.#submitted = this.outbox.waiting.find(posted)?.nonce ?? null;
    this.#log = { since: performance.now(), hidden: 0, switches: this.#zeros(), moves: 0 };
    this.heard = this.#zeros();
    this.#selected = 0;
    this.#current = SILENCE;
    this.#playing = false;
    this.#network(this.outbox.state);
    this.#show();
  }

  #zeros() {
    return this.data.trial.signals.map(() => 0);
  }

  #column(parent, slot) {
    const number = slot + 1;
    const column = document.createElement("div");
    column.className = "column";
    column.innerHTML = `<output></output><div class="track"></div>
      <button class="signal"><kbd></kbd><b></b></button>`;
    const button = column.querySelector("button");
    button.dataset.signal = number;
    button.querySelector("b").textContent = number;
    button.setAttribute("aria-label", fill(this.texts.signal, { number }));
    button.onclick = () => this.#hear(number);
    const slider = new Slider(column.querySelector(".track"), number, this.texts);
    slider.onmove = () => this.#rated(slot);
    slider.onrate = (score) => {
      this.#log.moves++;
      this.outbox.add("rating", { trial: this.data.trial.key, slot, score });
      this.#show();
    };
    column.querySelector("output").textContent = "–";
    parent.append(column);
    return slider;
  }

  #rated(slot) {
    const column = this.root.querySelectorAll(".column")[slot];
    column.querySelector("output").textContent = this.sliders[slot].score;
    column.classList.add("rated");
  }

  async #load() {
    const { trial, texts } = this.data;
    this.expired = false;
    this.#signals = null;
    const progress = (done, all) => this.waveform.clear(fill(texts.loading, { done, all }));
    progress(0, trial.signals.length);
    this.#show();
    try {
      const loading = load(trial.signals, this.base, progress);
      const [loaded] = await Promise.all([loading, prepare(this.base)]);
      if (this.data.trial.key !== trial.key || this.#closed) return;
      this.rate = loaded[0].sampleRate;
      this.#signals = loaded.map(({ samples }) => samples);
      this.waveform.show(this.#signals[0], this.rate);
      if (this.#engine) await this.#hand();
    } catch (error) {
      if (!(error instanceof Expired)) throw error;
      this.expired = true; // the page hands out new addresses
      this.ask("renew", { nonce: nonce() });
      return;
    }
    this.#show();
    if (this.data.next.length) prefetch(this.data.next, this.base);
  }

  async #hand() {
    const signals = this.#signals;
    this.#signals = null;
    await this.#engine.load(signals);
  }

  // Only from the handler of a click or key press: the browser allows sound nowhere else.
  async #start() {
    if (!this.#ready()) return;
    this.#playing = true;
    if (!this.#engine) {
      this.#engine = new Engine(this.rate, this.base);
      this.#engine.levelDb = this.data.level_db;
      this.#engine.onreport = (report) => this.#report(report);
      this.#engine.context.onstatechange = () => this.#interrupted();
      this.#note("context", { rate_hz: this.#engine.context.sampleRate });
    }
    this.#engine.select(this.#selected);
    if (this.#signals) {
      await this.#hand();
      const [start, end] = this.waveform.loop;
      this.#engine.loop(start, end);
      this.#engine.seek(this.waveform.position);
    }
    this.#engine.play();
    this.#show();
  }

  #ready() {
    return !this.expired && (this.#signals !== null || this.#engine !== null) && this.waveform.loop;
  }

  #toggle() {
    if (this.#playing) {
      this.#playing = false;
      this.#engine.pause();
      this.#show();
    } else this.#start();
  }

  #hear(signal) {
    if (!this.#ready()) return;
    if (signal !== this.#selected) this.#log.switches[signal]++;
    this.#selected = signal;
    if (this.#playing) this.#engine.select(signal);
    else this.#start();
    this.#show();
  }

  #interrupted() {
    if (!this.#playing || this.#engine.context.state === "running") return;
    this.#playing = false;
    this.#engine.pause();
    this.#show();
  }

  #report({ position, current, heard }) {
    const before = this.#unheard().length;
    this.heard = heard.map((frames) => frames / this.rate);
    this.#current = current;
    if (current !== SILENCE) this.waveform.position = position;
    if (this.#unheard().length !== before) this.#show();
  }

  #unheard() {
    const enough = Math.min(HEARD_S, (this.waveform.length ?? Infinity) / this.rate || HEARD_S);
    return this.heard.flatMap((seconds, signal) => (seconds < enough ? [signal] : []));
  }

  #unrated() {
    return this.sliders.flatMap((slider, slot) => (slider.score === null ? [slot + 1] : []));
  }

  #show() {
    const { texts } = this;
    const ready = this.#ready();
    for (const button of this.root.querySelectorAll(".signal")) {
      const on = this.#playing && Number(button.dataset.signal) === this.#selected;
      button.disabled = !ready;
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("heard", this.heard[button.dataset.signal] >= HEARD_S);
      button.closest(".column")?.classList.toggle("active", on);
    }
    this.sliders.forEach((slider, slot) => {
      slider.enabled = this.#playing && this.#selected === slot + 1;
    });
    const toggle = this.root.querySelector(".toggle");
    toggle.textContent = this.#playing ? texts.pause : texts.play;
    toggle.classList.toggle("playing", this.#playing);
    toggle.disabled = !ready;
    const unheard = this.#unheard().map((signal) => signal || texts.reference);
    const unrated = this.#unrated();
    const todo = [
      unheard.length && fill(texts.to_hear, { list: unheard.join(", ") }),
      unrated.length && fill(texts.to_rate, { list: unrated.join(", ") }),
    ].filter(Boolean);
    this.root.querySelector(".todo").textContent = this.#submitted ? texts.saving : todo.join("  ");
    this.root.querySelector(".next").disabled = Boolean(todo.length || this.#submitted);
  }

  #obey(name, what) {
    if (!this.root.isConnected || this.root.querySelector("dialog[open]")) return false;
    const slider = this.sliders[this.#selected - 1];
    const signals = this.data.trial.signals.length;
    if (name === "signal" && what >= signals) return false;
    const actions = {
      reference: () => this.#hear(0),
      signal: () => this.#hear(what),
      toggle: () => this.#toggle(),
      edge: () => this.waveform.edge(what),
      whole: () => this.waveform.whole(),
      start: () => this.#engine?.seek(this.waveform.loop[0]),
      neighbour: () => this.#hear((this.#selected + what + signals) % signals),
      step: () => slider?.step(what),
      rate: () => slider?.rate(what),
      help: () => this.root.querySelector(".keys").showModal(),
    };
    actions[name]();
    return true;
  }

  #next() {
    if (this.sliders.some((slider) => slider.score === 100)) this.#submit(false);
    else this.root.querySelector(".none").showModal();
  }

  #submit(insisted) {
    if (this.#submitted) return;
    if (this.#playing) this.#toggle();
    const { context } = this.#engine ?? {};
    const stats = context?.playbackStats;
    const ratings = Object.fromEntries(this.sliders.map(({ score }, slot) => [slot, score]));
    const client = {
      duration_ms: Math.round(performance.now() - this.#log.since),
      hidden_ms: Math.round(this.#log.hidden),
      heard_s: this.heard.map((seconds) => Number(seconds.toFixed(2))),
      switches: this.#log.switches,
      moves: this.#log.moves,
      no_hundred: insisted,
      engine: this.#engine?.kind ?? "",
      context_rate_hz: context?.sampleRate ?? 0,
      output_latency_s: context?.outputLatency ?? 0,
      underruns: stats?.underrunEvents ?? null,
    };
    const { key } = this.data.trial;
    this.#submitted = this.outbox.add("submit", { trial: key, ratings, client }).nonce;
    this.#show();
  }

  // Stored for good. If the page does not follow, ask again, then load it anew.
  async #goOn() {
    const { key } = this.data.trial;
    const stuck = () => !this.#closed && this.data.trial.key === key && this.root.isConnected;
    for (let attempt = 0; attempt < 3 && stuck(); attempt++) {
      this.ask("stored", { nonce: nonce() });
      await new Promise((resolve) => setTimeout(resolve, CONFIRM_MS));
    }
    if (stuck()) location.reload();
  }

  #note(type, content) {
    this.outbox.add(type, { trial: this.data.trial.key, ...content });
  }

  #visibility() {
    if (document.hidden) this.hiddenSince = performance.now();
    else if (this.hiddenSince !== null) {
      this.#log.hidden += performance.now() - this.hiddenSince;
      this.hiddenSince = null;
    }
  }

  #network(state) {
    const line = this.root.querySelector(".saved");
    if (!line || !this.texts) return;
    if (state in this.texts) line.textContent = this.texts[state]; // of sending nothing is said
    line.dataset.state = state;
  }

  close() {
    this.#closed = true;
    this.unlisten();
    document.removeEventListener("visibilitychange", this.onvisibility);
    this.waveform?.close();
    this.#engine?.close();
  }
}
