// Sound: one playhead over all signals of a trial, by an AudioWorklet where the browser has one.
//
// An AudioContext may only be made inside a click or key press, so `Engine` is made there and
// signals that arrived before wait for it. Positions are in samples of the signals' own rate.

import { fetched } from "./signals.js";

export const FADE_S = 0.005;
export const SILENCE = -1;
const REPORT_MS = 50;

const fade = (length, inwards) =>
  Float32Array.from({ length: length + 1 }, (_, k) => {
    const down = 0.5 + 0.5 * Math.cos((Math.PI * k) / length);
    return inwards ? 1 - down : down;
  });

// The audio thread's script comes with the first signals: at the click that makes an engine, the
// server may be away.
let script = null; // promise of its address within this page

export function prepare(base) {
  return (script ??= blob("player/worklet.js", base));
}

async function blob(path, base) {
  const bytes = await fetched(path, base);
  if (!bytes) throw new Error(`the server refuses ${path}`);
  return URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
}

export class Engine {
  onreport = () => {};

  // Call it synchronously in the handler of a click or key press.
  constructor(sampleRate, base, context = new AudioContext({ sampleRate })) {
    this.context = context;
    this.level = new GainNode(context);
    this.pan = new StereoPannerNode(context);
    this.level.connect(this.pan).connect(context.destination);
    this.ready = this.#build(sampleRate, base);
  }

  async #build(sampleRate, base) {
    if (this.context.audioWorklet && this.context.sampleRate === sampleRate) {
      await this.context.audioWorklet.addModule(await prepare(base));
      this.backend = new Worklet(this.context, this.level);
    } else {
      // Plain http outside localhost has no worklets; a context at another rate resamples sources.
      this.backend = new SourceGraph(this.context, this.level, sampleRate);
    }
    this.backend.onreport = (report) => this.onreport(report);
    if (this.context.state === "suspended") await this.context.resume?.();
  }

  get kind() {
    return this.backend instanceof Worklet ? "worklet" : "sources";
  }

  async #tell(name, ...what) {
    await this.ready;
    this.backend[name](...what);
  }

  load(signals) {
    return this.#tell("load", signals);
  }
  async play() {
    await this.#tell("play");
    if (this.context.state !== "running") await this.context.resume();
  }
  pause() {
    return this.#tell("pause");
  }
  select(signal) {
    return this.#tell("select", signal);
  }
  seek(position) {
    return this.#tell("seek", position);
  }
  loop(start, end) {
    return this.#tell("loop", start, end);
  }
  set levelDb(db) {
    this.level.gain.value = 10 ** (db / 20);
  }
  close() {
    this.backend?.pause();
    return this.context.close();
  }
}

class Worklet {
  onreport = () => {};

  constructor(context, output) {
    this.node = new AudioWorkletNode(context, "switch-player", {
      numberOfInputs: 0,
      outputChannelCount: [2],
    });
    this.node.port.onmessage = ({ data }) => this.onreport(data);
    this.node.connect(output);
  }
  load(signals) {
    const buffers = signals.flat().map((samples) => samples.buffer);
    this.node.port.postMessage({ type: "load", signals }, buffers);
  }
  play() {
    this.node.port.postMessage({ type: "play" });
  }
  pause() {
    this.node.port.postMessage({ type: "pause" });
  }
  select(signal) {
    this.node.port.postMessage({ type: "select", signal });
  }
  seek(position) {
    this.node.port.postMessage({ type: "seek", position });
  }
  loop(start, end) {
    this.node.port.postMessage({ type: "loop", start, end });
  }
}

// N looping sources that start together, one gain each; the fades of the loop's ends come from a
// looping envelope that drives a common gain. A switch fades one gain out, then the other in.
export class SourceGraph {
  onreport = () => {};
  #buffers = [];
  #gains = [];
  #group = null; // what plays: { sources, master, startS, offset }
  #loop = [0, 0];
  #position = 0;
  #wanted = 0;
  #current = SILENCE;
  #busyUntilS = 0;
  #heard = [];
  #accountedS = 0;
  #timer = 0;

  constructor(context, output, sampleRate) {
    this.context = context;
    this.output = output;
    this.rate = sampleRate;
    this.length = Math.round(FADE_S * sampleRate);
    this.fadeS = this.length / sampleRate;
  }

  load(signals) {
    this.#stop(this.#next());
    this.#buffers = signals.map((channels) => {
      const options = { length: channels[0].length, numberOfChannels: channels.length };
      const buffer = new AudioBuffer({ ...options, sampleRate: this.rate });
      channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
      return buffer;
    });
    this.#heard = signals.map(() => 0);
    this.#loop = [0, signals[0][0].length];
    this.#position = 0;
  }

  play() {
    if (this.#group) return;
    this.#start(this.#next());
    this.#timer = setInterval(() => this.#report(), REPORT_MS);
  }

  pause() {
    if (!this.#group) return;
    const atS = this.#next();
    this.#position = this.#at(atS + this.fadeS);
    this.#stop(atS);
    clearInterval(this.#timer);
    this.#report();
  }

  select(signal) {
    this.#wanted = signal;
    if (!this.#group || signal === this.#current) return;
    this.#account();
    const atS = this.#next();
    this.#gains[this.#current].gain.setValueCurveAtTime(fade(this.length, false), atS, this.fadeS);
    const inS = this.#frame(atS + this.fadeS);
    this.#gains[signal].gain.setValueCurveAtTime(fade(this.length, true), inS, this.fadeS);
    this.#busyUntilS = inS + this.fadeS;
    this.#current = signal;
  }

  seek(position) {
    this.#restart(() => (this.#position = position));
  }

  loop(start, end) {
    this.#restart((atS) => {
      if (this.#group) this.#position = this.#at(atS + this.fadeS);
      this.#loop = [start, end];
    });
  }

  #restart(change) {
    const atS = this.#next();
    const wasPlaying = this.#group !== null;
    change(atS);
    const [start, end] = this.#loop;
    if (this.#position < start || this.#position >= end) this.#position = start;
    if (!wasPlaying) return;
    this.#stop(atS);
    this.#start(this.#frame(atS + this.fadeS));
  }

  #start(atS) {
    const [start, end] = this.#loop;
    const looped = { loop: true, loopStart: start / this.rate, loopEnd: end / this.rate };
    const master = new GainNode(this.context, { gain: 0 });
    const envelope = new AudioBufferSourceNode(this.context, {
      buffer: this.#envelope(start, end),
      ...looped,
    });
    envelope.connect(master.gain);
    this.#gains = [];
    const sources = this.#buffers.map((buffer, signal) => {
      const source = new AudioBufferSourceNode(this.context, { buffer, ...looped });
      const gain = new GainNode(this.context, { gain: 0 });
      if (signal === this.#wanted) {
        gain.gain.setValueCurveAtTime(fade(this.length, true), atS, this.fadeS);
      }
      source.connect(gain).connect(master);
      this.#gains.push(gain);
      return source;
    });
    master.connect(this.output);
    for (const source of [envelope, ...sources]) source.start(atS, this.#position / this.rate);
    this.#group = { sources: [envelope, ...sources], master, startS: atS, offset: this.#position };
    this.#current = this.#wanted;
    this.#busyUntilS = atS + this.fadeS;
    this.#accountedS = atS;
  }

  #stop(atS) {
    if (!this.#group) return;
    this.#account();
    const { gain } = this.#gains[this.#current];
    gain.setValueCurveAtTime(fade(this.length, false), atS, this.fadeS);
    for (const source of this.#group.sources) source.stop(atS + this.fadeS);
    this.#busyUntilS = atS + this.fadeS;
    this.#group = null;
    this.#current = SILENCE;
  }

  #envelope(start, end) {
    const length = this.#buffers[0].length;
    const buffer = new AudioBuffer({ length, numberOfChannels: 1, sampleRate: this.rate });
    const samples = buffer.getChannelData(0).fill(1, start, end);
    const rise = fade(this.length, true);
    for (let k = 0; k < this.length; k++) {
      samples[start + k] = Math.min(samples[start + k], rise[k]);
      samples[end - 1 - k] = Math.min(samples[end - 1 - k], rise[k]);
    }
    return buffer;
  }

  #frame(timeS) {
    const rate = this.context.sampleRate;
    return Math.round(timeS * rate) / rate;
  }

  // The earliest frame at which nothing scheduled is in the way.
  #next() {
    return this.#frame(Math.max(this.context.currentTime, this.#busyUntilS));
  }

  #at(timeS) {
    if (!this.#group) return this.#position;
    const [start, end] = this.#loop;
    const run = Math.max(0, Math.round((timeS - this.#group.startS) * this.rate));
    return start + ((this.#group.offset - start + run) % (end - start));
  }

  #account() {
    const now = this.context.currentTime;
    if (this.#current !== SILENCE && now > this.#accountedS) {
      this.#heard[this.#current] += (now - this.#accountedS) * this.rate;
      this.#accountedS = now;
    }
  }

  #report() {
    this.#account();
    const position = this.#at(this.context.currentTime);
    this.onreport({ position, current: this.#current, heard: this.#heard });
  }
}
