// Every command has a key. `Shift` adds ten to a number and to a step.

const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
const LETTERS = {
  KeyR: ["reference"],
  Space: ["toggle"],
  KeyA: ["edge", 0],
  KeyB: ["edge", 1],
  KeyW: ["whole"],
  Backspace: ["start"],
  PageUp: ["neighbour", -1],
  PageDown: ["neighbour", 1],
  Home: ["rate", 0],
  End: ["rate", 100],
};

// -> [command, argument] or null.
export function command(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.key === "?") return ["help"];
  if (event.key in STEPS) return ["step", STEPS[event.key] * (event.shiftKey ? 10 : 1)];
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  if (digit !== undefined) {
    const number = Number(digit) + (event.shiftKey ? 10 : 0);
    return number ? ["signal", number] : ["reference"];
  }
  // By letter first: on other keyboards it lies elsewhere than its code says.
  const code = /^[a-z]$/i.test(event.key) ? `Key${event.key.toUpperCase()}` : event.code;
  return LETTERS[code] ?? null;
}

const TYPES_TEXT = /^(?:INPUT|TEXTAREA|SELECT)$/;

// Takes keys before the page's own shortcuts do. `obey` says whether it had a use for the command.
// Returns what undoes it.
export function listen(obey) {
  let taken = null; // the key that is down: its release must not click a focused button
  const down = (event) => {
    const target = event.composedPath()[0];
    if (TYPES_TEXT.test(target?.tagName) || target?.isContentEditable) return;
    const found = command(event);
    // The ends of a loop have arrows of their own.
    if (found?.[0] === "step" && target?.classList?.contains("handle")) return;
    if (!found || !obey(...found)) return;
    taken = event.code;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const up = (event) => {
    if (event.code !== taken) return;
    taken = null;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", down, true);
  window.addEventListener("keyup", up, true);
  return () => {
    window.removeEventListener("keydown", down, true);
    window.removeEventListener("keyup", up, true);
  };
}
