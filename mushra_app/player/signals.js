// Fetches the signals of a trial by their random addresses; the next trial's may come early.

import { parse } from "./pcm.js";

const RETRY_MS = [500, 1000, 2000, 4000];
const early = new Map(); // address -> promise of a body

export class Expired extends Error {}

// Tries until the server answers; null where it refuses.
export async function fetched(path, base) {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(new URL(path, base), {
      cache: "no-store",
      referrerPolicy: "no-referrer",
      priority: "low", // answers go first: a slow network is busy for minutes with signals
    }).catch(() => null);
    if (response?.ok) {
      const bytes = await response.arrayBuffer().catch(() => null);
      if (bytes) return bytes;
    }
    if (response && response.status >= 400 && response.status < 500) return null;
    const waitMs = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

async function body(address, base) {
  const bytes = await fetched(`api/signal/${address}`, base);
  if (!bytes) throw new Expired();
  return bytes;
}

// Bodies of one further trial at most are kept.
export function prefetch(addresses, base) {
  for (const kept of early.keys()) if (!addresses.includes(kept)) early.delete(kept);
  for (const address of addresses) {
    if (early.has(address)) continue;
    const promise = body(address, base);
    promise.catch(() => early.delete(address));
    early.set(address, promise);
  }
}

// -> [{ samples: [Float32Array per channel], sampleRate, frames }], in the order of the addresses.
export async function load(addresses, base, onprogress = () => {}) {
  let done = 0;
  const bodies = addresses.map((address) => {
    const promise = early.get(address) ?? body(address, base);
    early.delete(address);
    return promise.then((bytes) => {
      onprogress(++done, addresses.length);
      return bytes;
    });
  });
  const signals = [];
  for (const bytes of await Promise.all(bodies)) {
    signals.push(parse(bytes));
    await new Promise((resolve) => setTimeout(resolve)); // the page stays responsive
  }
  return signals;
}
