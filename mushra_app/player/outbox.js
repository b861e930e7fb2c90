// Answers are appended here first, kept in the browser's storage, and posted until the server says
// that they are stored. Sending twice does no harm: the server knows every event by its number
// within this outbox, and every submission by its nonce.

const BATCH = 200;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const PATIENCE_MS = 30_000; // for an answer: a network may swallow a request without a word

export const nonce = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (x) => x.toString(16).padStart(2, "0"))
    .join("");

// Private windows may refuse storage; the page's own memory then has to do.
const storage = (() => {
  try {
    localStorage.setItem("nacbench.probe", "1");
    localStorage.removeItem("nacbench.probe");
    return localStorage;
  } catch {
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => kept.set(key, value),
      removeItem: (key) => kept.delete(key),
      key: (index) => [...kept.keys()][index] ?? null,
      get length() {
        return kept.size;
      },
    };
  }
})();

export const remember = (key, value) => storage.setItem(`nacbench.${key}`, value);
export const recall = (key) => storage.getItem(`nacbench.${key}`);
export const forget = (key) => storage.removeItem(`nacbench.${key}`);
const recallAll = (prefix) =>
  Array.from({ length: storage.length }, (_, index) => storage.key(index))
    .filter((key) => key?.startsWith(`nacbench.${prefix}`))
    .map((key) => storage.getItem(key))
    .filter((value) => value !== null); // another tab may have sent it just now

export class Outbox {
  onstate = () => {}; // "saved", "sending", "waiting" (for the network), "refused"
  onstored = () => {}; // (event): the server has it
  #wake = () => {};
  #busy = false;

  // next: the first number that the server has not seen, so that another browser can go on.
  constructor(participant, base, next) {
    this.participant = participant;
    this.url = new URL("api/answers", base);
    this.next = next;
    this.waiting = this.#kept();
    for (const event of this.waiting) event.seq = this.next++;
    this.state = "saved";
    addEventListener("online", () => this.#wake());
    addEventListener("pagehide", () => this.#leave());
    this.#pump();
  }

  add(type, content) {
    const event = { seq: this.next++, nonce: nonce(), type, at: Date.now(), ...content };
    this.waiting.push(event);
    remember(this.#key(event), JSON.stringify(event));
    this.#pump();
    return event;
  }

  // A key for each event: one for all would have to be read and written anew, and of two tabs that
  // do so at once, one would lose what the other has just added.
  #key(event) {
    return `outbox.${this.participant}.${event.nonce}`;
  }

  // What earlier visits, or other tabs, did not get an answer to. Sent twice, it is stored once.
  #kept() {
    return recallAll(`outbox.${this.participant}.`)
      .map((text) => JSON.parse(text))
      .sort((one, other) => one.seq - other.seq || one.at - other.at);
  }

  #say(state) {
    if (state === this.state) return;
    this.state = state;
    this.onstate(state);
  }

  #post(events, keepalive = false) {
    return fetch(this.url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ participant: this.participant, events }),
      cache: "no-store",
      keepalive,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  }

  #leave() {
    // Whatever this does not carry stays in storage and is sent by the next visit.
    if (this.waiting.length) this.#post(this.waiting.slice(0, BATCH), true).catch(() => {});
  }

  async #pump() {
    if (this.#busy) return;
    this.#busy = true;
    let waitMs = FIRST_WAIT_MS;
    while (this.waiting.length) {
      if (this.state === "saved") this.#say("sending");
      const batch = this.waiting.slice(0, BATCH);
      const response = await this.#post(batch).catch(() => null);
      if (response?.ok) {
        const { taken = [], next = 0 } = await response.json().catch(() => ({}));
        this.#settle(batch, new Set(taken), next);
        waitMs = FIRST_WAIT_MS;
        if (taken.length) continue;
      }
      if (response && response.status >= 400 && response.status < 500) {
        this.#say("refused");
        break;
      }
      this.#say("waiting");
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, waitMs);
      });
      waitMs = Math.min(LONGEST_WAIT_MS, 2 * waitMs);
    }
    this.#busy = false;
    if (!this.waiting.length) this.#say("saved");
  }

  #settle(batch, taken, next) {
    const stored = batch.filter((event) => taken.has(event.nonce));
    for (const event of stored) forget(this.#key(event));
    this.waiting = this.waiting.filter((event) => !taken.has(event.nonce));
    // Numbers that another tab or browser has used meanwhile are drawn again.
    if (this.waiting.some((event) => event.seq < next)) {
      this.next = next;
      for (const event of this.waiting) event.seq = this.next++;
    }
    stored.forEach((event) => this.onstored(event));
  }
}
