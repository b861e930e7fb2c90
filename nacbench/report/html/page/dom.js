"use strict";

// Content is read once. Text of records reaches the page through textContent alone, never as markup.
const content = JSON.parse(document.getElementById("content").textContent);
const SVG = "http://www.w3.org/2000/svg";

function make(namespace, name, attributes, children) {
  const node = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (name, attributes = {}, ...children) => make(null, name, attributes, children);
const svg = (name, attributes = {}, ...children) => make(SVG, name, attributes, children);

function fixed(value, decimals) {
  return value === null || value === undefined ? "–" : value.toFixed(decimals).replace("-", "−");
}

const kbps = (value) => fixed(value, value < 10 ? 2 : 1);
const score = (value, metric) => fixed(value, metric.decimals);
const arrow = (metric) => (metric.better === null ? "" : metric.better ? " ↑" : " ↓");
const metricTitle = (metric) => metric.name + (metric.unit ? ` (${metric.unit})` : "") + arrow(metric);
const sectionTitle = (section) =>
  content.sections.some((other) => other.suite !== section.suite)
    ? `${section.title} · ${section.condition}`
    : section.condition;

function withInterval([mean, low, high, ok, all], metric) {
  const interval = low === null ? "" : ` [${score(low, metric)}, ${score(high, metric)}]`;
  return `${score(mean, metric)}${metric.unit ? " " + metric.unit : ""}${interval}, ${ok}/${all} clips`;
}

function say(text) {
  document.getElementById("said").textContent = text;
}

// What the reader has chosen; a part that depends on it listens for "choice".
const choice = {
  section: 0,
  metric: content.metrics.findIndex((metric) => metric.name === content.headline[0]),
  hidden: new Set(),
  bands: true,
};
const chosen = new EventTarget();

function choose(change) {
  Object.assign(choice, change);
  chosen.dispatchEvent(new Event("choice"));
}

const onChoice = (listener) => chosen.addEventListener("choice", listener);

function select(label, options, value, onchange) {
  const box = el("select", { onchange: () => onchange(Number(box.value)) },
    options.map((text, index) => el("option", { value: index }, text)));
  box.value = value;
  return el("label", { class: "field" }, el("span", {}, label), box);
}

// The two choices that all parts share; shown wherever they act, always in agreement.
function sharedChoices() {
  const fields = [];
  const metric = select("Metric", content.metrics.map(metricTitle), choice.metric,
    (index) => choose({ metric: index }));
  fields.push(metric);
  let condition = null;
  if (content.sections.length > 1) {
    condition = select("Condition", content.sections.map(sectionTitle), choice.section,
      (index) => choose({ section: index }));
    fields.push(condition);
  }
  onChoice(() => {
    metric.lastChild.value = choice.metric;
    if (condition) condition.lastChild.value = choice.section;
  });
  return fields;
}

function part(id, title, lead, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), lead ? el("p", { class: "lead" }, lead) : null, children);
}
