// What the page mounts: one view, which outlives the page's reruns.

import { forget, Outbox, recall, remember } from "./outbox.js";
import { Trial } from "./trial.js";
import { Volume } from "./volume.js";

const VIEWS = { trial: Trial, volume: Volume };
const views = new WeakMap(); // root -> { kind, view }
const outboxes = new Map(); // participant -> Outbox

// The address below which the server answers, whatever path it is served under.
const base = new URL("./", location.href);

function outboxOf({ participant, next_event: next }) {
  if (!outboxes.has(participant)) outboxes.set(participant, new Outbox(participant, base, next));
  const outbox = outboxes.get(participant);
  outbox.next = Math.max(outbox.next, next);
  return outbox;
}

// When its connection is lost Streamlit opens a dialog that disables the page beneath it. The
// player says so itself and goes on: close the dialog. Once closed it stays away.
let watching = null;

function closeDialogs() {
  watching ??= new MutationObserver(() =>
    document.querySelector('[data-testid="stDialog"] button')?.click(),
  );
  watching.observe(document.body, { childList: true, subtree: true });
}

export function mount({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root");
  root.lang = data.language;
  let mounted = views.get(root);
  if (mounted?.kind !== data.view) {
    mounted?.view.close();
    const ask = (name, value) => views.get(root)?.trigger(name, value);
    const view = new VIEWS[data.view](root, { base, outbox: outboxOf(data), ask });
    mounted = { kind: data.view, view };
    closeDialogs();
    views.set(root, mounted);
    remember(`session.${data.study}`, data.participant);
  }
  mounted.trigger = setTriggerValue;
  outboxOf(data);
  mounted.view.update(data);
  return () =>
    // A rerun may take the element out and put it back within the same task.
    setTimeout(() => {
      if (root.isConnected || views.get(root) !== mounted) return;
      mounted.view.close();
      views.delete(root);
    });
}

// The first page asks whether this browser has a session that was left; the last one ends it.
export function visit({ data, setTriggerValue }) {
  const key = `session.${data.study}`;
  if (data.finished) forget(key);
  else if (recall(key)) setTriggerValue("found", recall(key));
}
