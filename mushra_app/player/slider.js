// One grade from 0 to 100. It has no value, and shows no thumb, until the listener gives it one.

export class Slider {
  onmove = () => {}; // (score): while it moves
  onrate = () => {}; // (score): where it was let go
  #score = null;
  #enabled = false;

  constructor(root, number, texts) {
    this.texts = texts;
    this.track = root;
    this.track.innerHTML = `<div class="groove"></div><div class="thumb" hidden></div>`;
    this.thumb = this.track.querySelector(".thumb");
    const settings = {
      role: "slider",
      tabindex: "-1",
      "aria-orientation": "vertical",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      "aria-label": texts.slider.replace("{number}", number),
    };
    for (const [name, value] of Object.entries(settings)) this.track.setAttribute(name, value);
    this.track.addEventListener("pointerdown", (event) => this.#press(event));
    this.enabled = false;
    this.score = null;
  }

  get score() {
    return this.#score;
  }
  set score(score) {
    this.#score = score;
    this.thumb.hidden = score === null;
    if (score === null) {
      this.track.removeAttribute("aria-valuenow");
      this.track.setAttribute("aria-valuetext", this.texts.not_rated);
      return;
    }
    this.thumb.style.bottom = `${score}%`;
    this.track.setAttribute("aria-valuenow", String(score));
    this.track.setAttribute("aria-valuetext", `${score}, ${this.label(score)}`);
  }

  label(score) {
    return this.texts.scale[Math.min(4, Math.floor(score / 20))]; // from bad to excellent
  }

  get enabled() {
    return this.#enabled;
  }
  set enabled(enabled) {
    this.#enabled = enabled;
    this.track.setAttribute("aria-disabled", String(!enabled));
    this.track.tabIndex = enabled ? 0 : -1;
  }

  // From the keyboard; the first step of an unrated signal starts at the end it comes from.
  step(by) {
    if (!this.#enabled) return;
    const from = this.#score ?? (by > 0 ? -by : 100 - by);
    this.rate(from + by);
  }

  rate(score) {
    if (!this.#enabled) return;
    this.#set(score);
    this.onrate(this.#score);
  }

  #set(score) {
    this.score = Math.max(0, Math.min(100, Math.round(score)));
    this.onmove(this.#score);
  }

  #press(event) {
    if (!this.#enabled || event.button > 0) return;
    event.preventDefault();
    this.track.focus({ preventScroll: true });
    this.track.setPointerCapture(event.pointerId);
    const box = this.track.getBoundingClientRect();
    // Beyond either end counts as the end, so a fast hand reaches 0 and 100.
    const follow = ({ clientY }) => this.#set((100 * (box.bottom - clientY)) / box.height);
    const end = () => {
      this.track.removeEventListener("pointermove", follow);
      this.track.removeEventListener("pointerup", end);
      this.track.removeEventListener("pointercancel", end);
      this.onrate(this.#score);
    };
    follow(event);
    this.track.addEventListener("pointermove", follow);
    this.track.addEventListener("pointerup", end);
    this.track.addEventListener("pointercancel", end);
  }
}
