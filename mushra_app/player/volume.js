// Before the test: hear left and right, set the level. It stays fixed within a trial.

import { Engine, prepare } from "./engine.js";
import { nonce } from "./outbox.js";
import { Expired, load } from "./signals.js";

export class Volume {
  #engine = null;
  #signals = null;
  #playing = false;
  #pan = 0; // of what plays

  constructor(root, { base, outbox, ask }) {
    Object.assign(this, { root, base, outbox, ask });
    outbox.onstored = (event) => {
      if (event.nonce === this.sent) this.ask("stored", { nonce: nonce() });
    };
  }

  update(data) {
    const again = data.signals.join() !== this.data?.signals.join();
    const first = !this.data;
    this.data = data;
    if (first) this.#build();
    if (first || (again && this.expired)) this.#load();
  }

  #build() {
    const { texts, level_db: levelDb, range_db: rangeDb } = this.data;
    this.root.className = "volume";
    this.root.innerHTML = `
      <div class="buttons">
        <button data-pan="0" class="primary"></button>
        <button data-pan="-1"></button><button data-pan="1"></button>
        <button data-pan="stop"></button>
      </div>
      <label><span></span><input type="range" step="0.5"><output></output></label>
      <footer><p class="todo" role="status"></p><button class="next" disabled></button></footer>`;
    const names = [texts.both, texts.left, texts.right, texts.stop];
    this.root.querySelectorAll(".buttons button").forEach((button, at) => {
      button.textContent = names[at];
      const { pan } = button.dataset;
      button.onclick = () => (pan === "stop" ? this.#stop() : this.#play(Number(pan)));
      button.disabled = true;
    });
    this.root.querySelector("label span").textContent = texts.level;
    this.range = this.root.querySelector("input");
    Object.assign(this.range, { min: -rangeDb, max: rangeDb, value: levelDb });
    this.range.oninput = () => this.#show();
    const next = this.root.querySelector(".next");
    next.textContent = texts.next;
    next.onclick = () => {
      next.disabled = true;
      this.#stop();
      this.sent = this.outbox.add("level", { db: Number(this.range.value) }).nonce;
    };
    this.#show();
  }

  async #load() {
    this.expired = false;
    try {
      const loading = load(this.data.signals, this.base);
      const [[{ samples, sampleRate }]] = await Promise.all([loading, prepare(this.base)]);
      this.rate = sampleRate;
      this.#signals = [samples];
      for (const button of this.root.querySelectorAll(".buttons button")) button.disabled = false;
    } catch (error) {
      if (!(error instanceof Expired)) throw error;
      this.expired = true;
      this.ask("renew", { nonce: nonce() });
    }
  }

  async #play(pan) {
    this.#engine ??= new Engine(this.rate, this.base);
    if (this.#signals) {
      this.#engine.load(this.#signals);
      this.#signals = null;
    }
    this.#engine.pan.pan.value = pan;
    this.#pan = pan;
    this.#playing = true;
    this.root.querySelector(".next").disabled = false;
    this.#show();
    await this.#engine.play();
  }

  #stop() {
    if (this.#playing) this.#engine.pause();
    this.#playing = false;
    this.#show();
  }

  #show() {
    const db = Number(this.range.value);
    const text = `${db > 0 ? "+" : db < 0 ? "−" : ""}${Math.abs(db)} dB`;
    this.root.querySelector("output").textContent = text;
    this.range.setAttribute("aria-valuetext", text);
    if (this.#engine) this.#engine.levelDb = db;
    for (const button of this.root.querySelectorAll("[data-pan]")) {
      const on = this.#playing && Number(button.dataset.pan) === this.#pan;
      button.setAttribute("aria-pressed", String(on));
    }
    const todo = this.root.querySelector(".next").disabled && !this.sent;
    this.root.querySelector(".todo").textContent = todo ? this.data.texts.play_first : "";
  }

  close() {
    this.#engine?.close();
  }
}
