// The reference's waveform, on which a loop is dragged. All positions are in samples.

const SHORTEST_LOOP_S = 0.5; // BS.1534-3
const DRAG_PX = 5; // less is a click
const NUDGE_S = 0.05;

export class Waveform {
  onloop = () => {}; // (start, end)
  onseek = () => {}; // (position)
  #peaks = null;
  #position = 0;
  #ink = {};

  constructor(root, texts) {
    this.texts = texts;
    this.frame = root;
    this.frame.innerHTML = `
      <canvas></canvas>
      <div class="handle" data-edge="0" role="slider" tabindex="0"></div>
      <div class="handle" data-edge="1" role="slider" tabindex="0"></div>
      <div class="playhead"></div><div class="loading"></div>`;
    this.canvas = this.frame.querySelector("canvas");
    this.handles = [...this.frame.querySelectorAll(".handle")];
    this.playhead = this.frame.querySelector(".playhead");
    this.loading = this.frame.querySelector(".loading");
    this.handles.forEach((handle, edge) => {
      handle.setAttribute("aria-label", texts[edge ? "loop_end" : "loop_start"]);
      handle.addEventListener("keydown", (event) => this.#nudge(event, edge));
    });
    this.frame.addEventListener("pointerdown", (event) => this.#press(event));
    this.sizes = new ResizeObserver(() => this.#draw());
    this.sizes.observe(this.frame);
  }

  clear(text) {
    this.#peaks = null;
    this.loading.textContent = text;
    this.#draw();
  }

  show(samples, sampleRate) {
    this.samples = samples;
    this.rate = sampleRate;
    this.length = samples[0].length;
    this.loop = [0, this.length];
    this.#position = 0;
    this.loading.textContent = "";
    this.#measure();
    this.#draw();
  }

  #measure() {
    const bins = 1200;
    this.#peaks = Float32Array.from({ length: bins }, (_, bin) => {
      const from = Math.floor((bin * this.length) / bins);
      const to = Math.max(from + 1, Math.floor(((bin + 1) * this.length) / bins));
      let peak = 0;
      for (const channel of this.samples) {
        for (let at = from; at < to; at++) peak = Math.max(peak, Math.abs(channel[at]));
      }
      return peak;
    });
    const loudest = this.#peaks.reduce((a, b) => Math.max(a, b), 1e-9);
    this.#peaks = this.#peaks.map((peak) => peak / loudest);
    this.samples = null; // the engine has taken them
  }

  get position() {
    return this.#position;
  }
  set position(position) {
    this.#position = position;
    if (this.#peaks) this.playhead.style.left = `${(100 * position) / this.length}%`;
  }

  // Edges are moved apart, never refused; the edge that was not asked for gives way.
  setLoop(start, end, keep = 0) {
    const shortest = Math.min(this.length, Math.ceil(SHORTEST_LOOP_S * this.rate));
    [start, end] = [start, end].map((x) => Math.round(Math.max(0, Math.min(this.length, x))));
    if (end - start < shortest) {
      if (keep === 0) end = start + shortest;
      else start = end - shortest;
      if (end > this.length) [start, end] = [this.length - shortest, this.length];
      if (start < 0) [start, end] = [0, shortest];
    }
    this.loop = [start, end];
    this.#draw();
    this.onloop(start, end);
  }

  edge(which, position = this.#position) {
    if (!this.#peaks) return;
    const [start, end] = this.loop;
    if (which === 0) this.setLoop(position, end, 0);
    else this.setLoop(start, position, 1);
  }

  whole() {
    if (this.#peaks) this.setLoop(0, this.length);
  }

  #nudge(event, edge) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.#peaks) return;
    event.preventDefault();
    event.stopPropagation();
    this.edge(edge, this.loop[edge] + step * NUDGE_S * this.rate);
  }

  #at(event) {
    const box = this.frame.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return share * this.length;
  }

  #press(event) {
    if (!this.#peaks || event.button > 0) return;
    event.preventDefault();
    const edge = event.target.dataset.edge;
    const began = this.#at(event);
    const beganX = event.clientX;
    let dragged = edge !== undefined;
    const before = this.loop;
    this.frame.setPointerCapture(event.pointerId);
    const move = (moved) => {
      dragged ||= Math.abs(moved.clientX - beganX) > DRAG_PX;
      if (!dragged) return;
      const here = this.#at(moved);
      if (edge === "0") this.loop = [Math.min(here, before[1]), before[1]];
      else if (edge === "1") this.loop = [before[0], Math.max(here, before[0])];
      else this.loop = [Math.min(began, here), Math.max(began, here)];
      this.#draw();
    };
    const end = (last) => {
      this.frame.removeEventListener("pointermove", move);
      this.frame.removeEventListener("pointerup", end);
      this.frame.removeEventListener("pointercancel", end);
      if (dragged) this.setLoop(...this.loop, edge === "1" ? 1 : 0);
      else {
        const [start, stop] = this.loop;
        if (began < start || began >= stop) this.whole();
        this.onseek(Math.min(this.length - 1, Math.floor(this.#at(last))));
      }
    };
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("pointerup", end);
    this.frame.addEventListener("pointercancel", end);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const shown = Boolean(this.#peaks);
    for (const element of [...this.handles, this.playhead]) element.hidden = !shown;
    if (!shown) return;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(this.frame);
    const [inside, outside, wash] = ["--wave", "--wave-off", "--wash"].map((name) =>
      style.getPropertyValue(name),
    );
    const [from, to] = this.loop.map((position) => (position / this.length) * width);
    pen.fillStyle = wash;
    pen.fillRect(from, 0, to - from, height);
    const bins = this.#peaks.length;
    for (let x = 0; x < width; x += 3) {
      const peak = this.#peaks[Math.min(bins - 1, Math.floor((x / width) * bins))];
      const tall = Math.max(1, peak * (height - 8));
      pen.fillStyle = x >= from && x < to ? inside : outside;
      pen.fillRect(x, (height - tall) / 2, 2, tall);
    }
    this.handles.forEach((handle, edge) => {
      const seconds = this.loop[edge] / this.rate;
      handle.style.left = `${(100 * this.loop[edge]) / this.length}%`;
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", (this.length / this.rate).toFixed(2));
      handle.setAttribute("aria-valuenow", seconds.toFixed(2));
      handle.setAttribute("aria-valuetext", `${seconds.toFixed(2)} s`);
    });
  }

  close() {
    this.sizes.disconnect();
  }
}
