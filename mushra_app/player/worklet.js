// One playhead over N signals, on the audio thread.
//
// BS.1534-3: a switch is a 5 ms raised-cosine fade out, then a 5 ms fade in, and never a
// cross-fade. The playhead runs on meanwhile. A loop's ends carry the same fades.
//
// `#fade` counts from 0 (full level) to N (silent). While something has to change (another
// signal, a jump, another loop) it climbs, at N the change happens, then it falls again. A switch
// in the middle of a fade therefore turns round where it is, without a step.

const FADE_S = 0.005;
const SILENCE = -1;
const REPORT_S = 0.05;

const raisedCosine = (length) =>
  Float64Array.from({ length: length + 1 }, (_, k) => 0.5 + 0.5 * Math.cos((Math.PI * k) / length));

class SwitchPlayer extends AudioWorkletProcessor {
  #signals = []; // [signal][channel] Float32Array, all of one length
  #frames = 0;
  #length = Math.round(FADE_S * sampleRate);
  #gain = raisedCosine(this.#length);
  #fade = this.#length;
  #current = SILENCE;
  #wanted = 0;
  #playing = false;
  #position = 0;
  #jump = null;
  #loop = [0, 0];
  #nextLoop = null;
  #heard = [];
  #due = []; // messages that carry a frame at which they take effect
  #reported = 0;

  constructor(options) {
    super();
    for (const message of options.processorOptions?.messages ?? []) this.#receive(message);
    this.port.onmessage = ({ data }) => this.#receive(data);
  }

  #receive(message) {
    if (message.frame === undefined) this.#obey(message);
    else this.#due.push(message);
  }

  #obey({ type, ...what }) {
    if (type === "load") {
      this.#signals = what.signals;
      this.#frames = what.signals[0][0].length;
      this.#heard = what.signals.map(() => 0);
      this.#loop = [0, this.#frames];
      this.#nextLoop = this.#jump = null;
      this.#current = SILENCE;
      this.#fade = this.#length;
      this.#playing = false;
      this.#position = 0;
    } else if (type === "play") this.#playing = true;
    else if (type === "pause") this.#playing = false;
    else if (type === "select") this.#wanted = what.signal;
    else if (type === "seek") this.#jump = what.position;
    else if (type === "loop") this.#nextLoop = [what.start, what.end];
  }

  #target() {
    return this.#playing ? this.#wanted : SILENCE;
  }

  #leaving() {
    return (
      this.#current !== this.#target() || this.#jump !== null || this.#nextLoop !== null
    );
  }

  #settle() {
    this.#current = this.#target();
    if (this.#nextLoop) this.#loop = this.#nextLoop;
    if (this.#jump !== null) this.#position = this.#jump;
    this.#nextLoop = this.#jump = null;
    const [start, end] = this.#loop;
    if (this.#position < start || this.#position >= end) this.#position = start;
  }

  #step(output, at) {
    if (this.#fade === this.#length && this.#leaving()) this.#settle();
    if (this.#current === SILENCE) {
      this.#fade = this.#length;
      return;
    }
    const [start, end] = this.#loop;
    const toEdge = Math.min(this.#position - start, end - 1 - this.#position);
    const edge = toEdge < this.#length ? this.#gain[this.#length - toEdge] : 1;
    const gain = this.#gain[this.#fade] * edge;
    const signal = this.#signals[this.#current];
    for (let channel = 0; channel < output.length; channel++) {
      output[channel][at] = gain * signal[Math.min(channel, signal.length - 1)][this.#position];
    }
    this.#heard[this.#current]++;
    this.#position = this.#position + 1 < end ? this.#position + 1 : start;
    this.#fade = this.#leaving()
      ? Math.min(this.#length, this.#fade + 1)
      : Math.max(0, this.#fade - 1);
  }

  process(_inputs, [output]) {
    for (let at = 0; at < output[0].length; at++) {
      while (this.#due.length && this.#due[0].frame <= currentFrame + at) {
        this.#obey(this.#due.shift());
      }
      if (this.#frames) this.#step(output, at);
    }
    if (currentFrame - this.#reported >= REPORT_S * sampleRate) {
      this.#reported = currentFrame;
      this.port.postMessage({
        position: this.#position,
        current: this.#current,
        heard: this.#heard,
      });
    }
    return true;
  }
}

registerProcessor("switch-player", SwitchPlayer);
