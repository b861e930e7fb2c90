// Rate against quality: one point per setting, one line per series, bands for the intervals.

const MARKS = {
  o: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
  s: "M-3.6 -3.6h7.2v7.2h-7.2z",
  D: "M0 -5L5 0L0 5L-5 0z",
  "^": "M0 -4.8L4.8 3.8H-4.8z",
  v: "M0 4.8L4.8 -3.8H-4.8z",
  "<": "M-4.8 0L3.8 -4.8V4.8z",
  ">": "M4.8 0L-3.8 -4.8V4.8z",
  p: "M0 -5L4.8 -1.5L2.9 4H-2.9L-4.8 -1.5z",
  d: "M0 -5.2L3.4 0L0 5.2L-3.4 0z",
};
const DASHES = { "-": null, "--": "7 4", ":": "2 3" };
const MARGIN = { left: 52, right: 14, top: 12, bottom: 40 };

function mark(series, attributes = {}) {
  const look = content.looks[series];
  return svg("path", { d: MARKS[look.marker], class: look.open ? "mark open" : "mark", ...attributes });
}

function swatch(series) {
  const look = content.looks[series];
  return svg("svg", { width: 34, height: 14, viewBox: "-17 -7 34 14", "aria-hidden": "true", class: "series", style: { "--c": look.colour } },
    svg("path", { d: "M-16 0H16", class: "line", "stroke-dasharray": DASHES[look.line] }), mark(series));
}

function seriesOf(section, metric) {
  const found = new Map();
  for (const row of section.rows) {
    const [mean, low, high] = row.cells[metric];
    if (row.anchor || mean === null || !row.payload_kbps) continue;
    if (!found.has(row.series)) found.set(row.series, []);
    found.get(row.series).push({ row, x: row.payload_kbps, y: mean, low: low ?? mean, high: high ?? mean });
  }
  for (const points of found.values()) points.sort((a, b) => a.x - b.x);
  return found;
}

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return { found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function octaves(low, high) {
  const found = [];
  const steps = high < 20 * low ? [1, 1.5] : [1];
  for (let k = Math.floor(Math.log2(low)); 2 ** k <= high; k++)
    for (const step of steps) if (step * 2 ** k >= low && step * 2 ** k <= high) found.push(step * 2 ** k);
  return found;
}

function chart() {
  const box = el("div", { class: "chart" });
  const legend = el("fieldset", { class: "legend" });
  let points = []; // as drawn: {x, y in pixels, row}
  let current = -1;

  function draw() {
    const section = content.sections[choice.section];
    const metric = content.metrics[choice.metric];
    const all = seriesOf(section, choice.metric);
    drawLegend([...all.keys()]);
    const shown = [...all].filter(([name]) => !choice.hidden.has(name));
    const width = Math.max(280, box.clientWidth);
    const height = Math.min(460, Math.max(260, width * 0.55));
    const values = shown.flatMap(([, list]) => list.flatMap((p) => choice.bands ? [p.low, p.high] : [p.y]));
    const rates = shown.flatMap(([, list]) => list.map((p) => p.x));
    points = [];
    current = -1;
    if (!values.length) {
      box.replaceChildren(el("p", { class: "nothing" }, all.size ? "Every series is hidden." : "No codec has this score and a rate."));
      return;
    }
    const pad = (Math.max(...values) - Math.min(...values)) * 0.05 || Math.abs(values[0]) * 0.05 || 1;
    const [bottom, top] = [Math.min(...values) - pad, Math.max(...values) + pad];
    const ratio = Math.max((Math.max(...rates) / Math.min(...rates)) ** 0.04, 1.08);
    const [left, right] = [Math.min(...rates) / ratio, Math.max(...rates) * ratio];
    const x = (rate) => MARGIN.left + Math.log(rate / left) / Math.log(right / left) * (width - MARGIN.left - MARGIN.right);
    const y = (value) => height - MARGIN.bottom - (value - bottom) / (top - bottom) * (height - MARGIN.top - MARGIN.bottom);
    const picture = svg("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img",
      "aria-label": `${metricTitle(metric)} over payload rate, ${sectionTitle(section)}: ${shown.length} series. Arrow keys read the points; the leaderboard below has all numbers.`,
      onpointermove: hover, onpointerdown: hover, onpointerleave: hide, onblur: hide, onkeydown: keys,
    });
    const labels = ticks(bottom, top, height / 60);
    for (const value of labels.found)
      picture.append(svg("path", { class: "grid", d: `M${MARGIN.left} ${y(value)}H${width - MARGIN.right}` }),
        svg("text", { class: "tick", x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end" }, fixed(value, labels.decimals)));
    let last = -Infinity;
    for (const rate of octaves(left, right)) {
      picture.append(svg("path", { class: "grid", d: `M${x(rate)} ${MARGIN.top}V${height - MARGIN.bottom}` }));
      if (x(rate) - last < 34) continue;
      last = x(rate);
      picture.append(svg("text", { class: "tick", x: last, y: height - MARGIN.bottom + 17, "text-anchor": "middle" }, String(rate)));
    }
    picture.append(svg("text", { class: "axis", x: (width + MARGIN.left) / 2, y: height - 4, "text-anchor": "middle" }, "payload, kbps (log)"));
    drawAnchors(picture, section, x, y, bottom, top, width);
    for (const [name, list] of shown) {
      const look = content.looks[name];
      const group = svg("g", { class: "series", style: { "--c": look.colour } });
      const line = list.map((p, i) => `${i ? "L" : "M"}${x(p.x)} ${y(p.y)}`).join("");
      if (choice.bands) group.append(svg("path", { class: list.length > 1 ? "band" : "whisker", d: band(list, x, y) }));
      group.append(svg("path", { class: "line", d: line, "stroke-dasharray": DASHES[look.line] }));
      for (const p of list) {
        group.append(mark(name, { transform: `translate(${x(p.x)} ${y(p.y)})` }));
        points.push({ x: x(p.x), y: y(p.y), row: p.row });
      }
      picture.append(group);
    }
    picture.append(svg("circle", { class: "ring", r: 8, visibility: "hidden" }));
    points.sort((a, b) => a.x - b.x);
    box.replaceChildren(picture);
  }

  function band(list, x, y) {
    if (list.length === 1) return `M${x(list[0].x)} ${y(list[0].low)}V${y(list[0].high)}`;
    const upper = list.map((p, i) => `${i ? "L" : "M"}${x(p.x)} ${y(p.high)}`);
    const lower = list.slice().reverse().map((p) => `L${x(p.x)} ${y(p.low)}`);
    return upper.join("") + lower.join("") + "z";
  }

  function drawAnchors(picture, section, x, y, bottom, top, width) {
    const inside = section.rows
      .filter((row) => row.anchor && row.cells[choice.metric][0] > bottom && row.cells[choice.metric][0] < top)
      .sort((a, b) => a.cells[choice.metric][0] - b.cells[choice.metric][0]);
    let last = Infinity;
    for (const row of inside) {
      const height = y(row.cells[choice.metric][0]);
      picture.append(svg("path", { class: "anchor", d: `M${MARGIN.left} ${height}H${width - MARGIN.right}` }));
      if (Math.abs(last - height) < 13) continue;
      last = height;
      picture.append(svg("text", { class: "anchor-name", x: width - MARGIN.right - 2, y: height - 4, "text-anchor": "end" }, row.name));
    }
  }

  function drawLegend(names) {
    const boxes = names.map((name) => el("label", { class: "toggle" },
      el("input", { type: "checkbox", checked: !choice.hidden.has(name), "data-series": name,
        onchange: (event) => {
          event.target.checked ? choice.hidden.delete(name) : choice.hidden.add(name);
          draw();
        } }), swatch(name), name));
    const flip = el("button", { type: "button", onclick: () => {
      choice.hidden = choice.hidden.size ? new Set() : new Set(names);
      draw();
    } }, choice.hidden.size ? "Show all" : "Hide all");
    const focused = document.activeElement?.dataset?.series;
    legend.replaceChildren(el("legend", {}, "Series"), ...boxes, names.length > 1 ? flip : "");
    if (focused) [...legend.querySelectorAll("input")].find((input) => input.dataset.series === focused)?.focus();
  }

  function hover(event) {
    const frame = event.currentTarget.getBoundingClientRect();
    const [px, py] = [event.clientX - frame.left, event.clientY - frame.top];
    let best = -1;
    let nearest = 40 ** 2;
    points.forEach((p, index) => {
      const distance = (p.x - px) ** 2 + (p.y - py) ** 2;
      if (distance < nearest) [nearest, best] = [distance, index];
    });
    show(best);
  }

  function keys(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    show((current + step + points.length) % points.length);
    const { row } = points[current];
    say(`${row.name}, ${kbps(row.payload_kbps)} kbps, ${withInterval(row.cells[choice.metric], content.metrics[choice.metric])}`);
  }

  function show(index) {
    if (index < 0) return hide();
    current = index;
    const { x, y, row } = points[index];
    const ring = box.querySelector(".ring");
    ring.setAttribute("visibility", "visible");
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    const tip = document.getElementById("tip");
    tip.replaceChildren(el("strong", {}, swatch(row.series), ` ${row.name}`),
      el("div", {}, `${kbps(row.payload_kbps)} kbps payload`),
      el("div", {}, withInterval(row.cells[choice.metric], content.metrics[choice.metric])));
    tip.hidden = false;
    const frame = box.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(room, frame.left + x + 14))}px`;
    tip.style.top = `${frame.top + y - tip.offsetHeight - 12}px`;
  }

  function hide() {
    current = -1;
    document.getElementById("tip").hidden = true;
    box.querySelector(".ring")?.setAttribute("visibility", "hidden");
  }

  const bands = el("label", { class: "toggle" }, el("input", { type: "checkbox", checked: true, onchange: (event) => choose({ bands: event.target.checked }) }), "95 % intervals");
  let drawnWidth = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== drawnWidth) { drawnWidth = box.clientWidth; draw(); }
  }).observe(box);
  addEventListener("scroll", hide, { passive: true });
  onChoice(draw);
  return part("curves", "Curves", null,
    el("div", { class: "choices" }, sharedChoices(), bands), box, legend);
}
