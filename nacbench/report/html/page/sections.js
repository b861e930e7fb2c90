// The parts that are tables and text: leaderboard, gaps, clips, remarks, origin.

const MARK_WORDS = { best: ["★", "best of its rate band"], tie: ["=", "not separable from the best"] };

function scoreCell([mean, low, high, ok, all, marked], metric) {
  const parts = [el("span", { class: marked ? "marked" : "" }, score(mean, metric))];
  if (marked) parts.push(el("abbr", { title: MARK_WORDS[marked][1] }, ` ${MARK_WORDS[marked][0]}`));
  if (low !== null) parts.push(el("span", { class: "interval" }, ` [${score(low, metric)}, ${score(high, metric)}]`));
  parts.push(el("span", { class: ok < all ? "few" : "interval" }, ` ${ok}/${all}`));
  return parts;
}

function leaderboardPart() {
  const holder = el("div");
  const wide = el("input", { type: "checkbox", onchange: draw });
  function metricsShown() {
    const lead = content.headline.slice(0, 5).map((name) => content.metrics.findIndex((m) => m.name === name));
    if (wide.checked) return content.metrics.map((_, index) => index);
    return lead.includes(choice.metric) ? lead : [...lead, choice.metric];
  }
  function draw() {
    const section = content.sections[choice.section];
    const metricColumns = metricsShown().map((index) => {
      const metric = content.metrics[index];
      return { title: metricTitle(metric), numeric: true, best: metric.better === false ? "low" : "high",
        value: (row) => row.cells[index][0], show: (row) => scoreCell(row.cells[index], metric) };
    });
    const number = (title, key, decimals, best) => ({ title, numeric: true, best, value: (row) => row[key], show: (row) => fixed(row[key], decimals) });
    const speed = (title, key) => ({ title, numeric: true, best: "high", value: (row) => row[key] ? 1 / row[key] : null,
      show: (row) => row[key] ? fixed(1 / row[key], row[key] > 0.1 ? 2 : 0) : "–" });
    const rate = (title, key) => ({ title, numeric: true, best: "low", value: (row) => row[key], show: (row) => kbps(row[key]) + (row.declared && key === "payload_kbps" ? " declared" : "") });
    const table = sortableTable("Leaderboard", [
      { title: "Codec", value: (row) => row.series, show: (row) => [swatch(row.series), ` ${row.series}`, row.untrained ? el("em", {}, " untrained") : null, row.failed ? el("span", { class: "few" }, ` ${row.failed} failed`) : null] },
      { title: "Setting", value: (row) => row.setting, show: (row) => row.setting },
      rate("kbps", "payload_kbps"),
      ...metricColumns,
      number("Ratio ×", "compression_ratio", 1, "high"),
      speed("Encode ×RT", "encode_rtf"), speed("Decode ×RT", "decode_rtf"),
      number("Delay ms", "delay_ms", 2, "low"), number("Peak MB", "peak_memory_mb", 0, "low"),
      ...(wide.checked ? [rate("nominal kbps", "nominal_kbps"), rate("container kbps", "container_kbps"), rate("entropy kbps", "entropy_kbps")] : []),
    ], { grouped: (row) => row.band_name });
    table.fill(section.rows);
    holder.replaceChildren(table.node);
  }
  onChoice(draw);
  draw();
  return part("leaderboard", "Leaderboard", content.legend,
    el("div", { class: "choices" }, sharedChoices(), el("label", { class: "toggle" }, wide, "All columns")), holder);
}

function gapsPart() {
  if (!content.gaps) return null;
  const holder = el("div");
  function draw() {
    const section = content.sections[choice.section];
    const metric = content.metrics[choice.metric];
    const rows = content.gaps.rows.filter((gap) => gap.suite === section.suite && gap.condition === section.condition && gap.metric === metric.name);
    const interval = (value, low, high, decimals, sign) => value === null ? "–" : [
      `${value > 0 ? "+" : ""}${fixed(value, decimals)}${sign}`, el("span", { class: "interval" }, low === null ? "" : ` [${fixed(low, decimals)}, ${fixed(high, decimals)}]`)];
    const table = sortableTable("Bjøntegaard deltas", [
      { title: "Codec", value: (gap) => gap.series, show: (gap) => [swatch(gap.series), ` ${gap.series}`] },
      { title: "BD-rate %", numeric: true, best: "low", value: (gap) => gap.rate[0], show: (gap) => interval(...gap.rate.slice(0, 3), 1, " %") },
      ...["lower", "middle", "upper"].map((name, index) => ({ title: `${name} third %`, numeric: true, best: "low", value: (gap) => gap.parts[index], show: (gap) => fixed(gap.parts[index], 1) })),
      { title: `BD-metric ${metric.unit}`, numeric: true, best: "high", value: (gap) => gap.gain[0], show: (gap) => interval(...gap.gain.slice(0, 3), Math.max(2, metric.decimals), "") },
      { title: "Why not", value: (gap) => gap.reason, show: (gap) => gap.reason || "" },
    ], { start: { column: 1, descending: false } });
    table.fill(rows);
    holder.replaceChildren(rows.length ? table.node : el("p", { class: "nothing" }, "This metric has no better and worse, or no second curve."));
  }
  onChoice(draw);
  draw();
  return part("gaps", `Rate saved against ${content.gaps.anchor}`,
    "Mean difference between whole curves, with 95 % intervals over clips. BD-rate: bits at equal quality, negative needs fewer; over the quality that both reach, and over its thirds. BD-metric: quality at equal rate, positive is better (for a metric where low is better, its sign is turned).",
    el("div", { class: "choices" }, sharedChoices()), holder);
}

// One row per clip and operating point of the chosen condition.
function clipRows(section) {
  const { records } = section;
  return records.row.map((row, index) => ({
    index, row: section.rows[row], clip: section.clips[records.clip[index]], kbps: records.kbps[index],
    delay: records.delay_ms[index], gain: records.gain_db[index], failed: records.failed[index],
    notes: records.notes[index] || [],
    score: (metric) => records.scores[metric][index],
    why: (metric) => records.reasons[records.why[metric][index]],
  }));
}

function worstColumn(metric) {
  return { title: metricTitle(content.metrics[metric]), numeric: true, best: content.metrics[metric].better === false ? "high" : "low",
    value: (item) => item.score(metric),
    show: (item) => item.score(metric) === null ? el("span", { class: "few" }, item.why(metric) || "–") : score(item.score(metric), content.metrics[metric]) };
}

function clipsPart() {
  const holder = el("div");
  const count = el("output", { "aria-live": "polite" });
  const text = el("input", { type: "search", placeholder: "clip, codec, tag, reason", oninput: fill });
  const failing = el("input", { type: "checkbox", onchange: fill });
  const series = el("select", { onchange: fill });
  let table;
  let rows = [];
  function searched(item) {
    if (item.text === undefined) {
      const reasons = content.metrics.map((_, metric) => item.why(metric)).filter(Boolean);
      item.text = [item.clip.id, item.row.name, ...Object.values(item.clip.tags), ...item.notes, ...reasons].join("\n").toLowerCase();
    }
    return item.text;
  }
  function fill() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((item) =>
      (!series.value || item.row.series === series.value) &&
      (!failing.checked || item.failed || item.score(choice.metric) === null) &&
      words.every((word) => searched(item).includes(word)));
    table.fill(found);
    count.textContent = `${found.length} of ${rows.length} rows`;
  }
  function draw() {
    const section = content.sections[choice.section];
    rows = clipRows(section);
    const names = [...new Set(section.rows.map((row) => row.series))];
    const before = series.value;
    series.replaceChildren(el("option", { value: "" }, "all"), ...names.map((name) => el("option", { value: name }, name)));
    series.value = names.includes(before) ? before : "";
    const others = content.headline.slice(0, 5).map((name) => content.metrics.findIndex((m) => m.name === name)).filter((index) => index !== choice.metric);
    const better = content.metrics[choice.metric].better;
    table = sortableTable("Clips", [
      { title: "Clip", value: (item) => item.clip.id, show: (item) => item.clip.id },
      { title: "Codec", value: (item) => item.row.name, show: (item) => [swatch(item.row.series), ` ${item.row.name}`] },
      { title: "kbps", numeric: true, best: "low", value: (item) => item.kbps, show: (item) => kbps(item.kbps) },
      worstColumn(choice.metric), ...others.map(worstColumn),
      { title: "Delay ms", numeric: true, value: (item) => item.delay, show: (item) => fixed(item.delay, 2) },
      { title: "Gain dB", numeric: true, value: (item) => item.gain, show: (item) => fixed(item.gain, 1) },
      { title: "Length s", numeric: true, value: (item) => item.clip.duration_s, show: (item) => fixed(item.clip.duration_s, 1) },
      { title: "Tags and notes", value: (item) => Object.values(item.clip.tags).join(", "),
        show: (item) => {
          const words = [...Object.values(item.clip.tags), ...item.notes].join(" · ");
          return el("span", { class: "tags", title: words }, words);
        } },
    ], { start: { column: 3, descending: better === false }, page: 40 });
    holder.replaceChildren(table.node);
    fill();
  }
  onChoice(draw);
  draw();
  return part("clips", "Every clip", "Worst scores of the chosen metric first.",
    el("div", { class: "choices" }, sharedChoices(),
      el("label", { class: "field" }, el("span", {}, "Filter"), text),
      el("label", { class: "field" }, el("span", {}, "Codec"), series),
      el("label", { class: "toggle" }, failing, "Only without a score"), count), holder);
}

const REMARKS_SHOWN = 12;

function remarkList(lines) {
  return el("ul", { class: "remarks" }, lines.map(({ subject, reason, count }) =>
    el("li", {}, el("strong", {}, subject), `: ${reason}`, count > 1 ? ` (${count} ×)` : "")));
}

function remarksPart() {
  const kinds = content.remarks.map(({ title, lines }) => [
    el("h3", {}, `${title} `, el("span", { class: "count" }, String(lines.length))),
    remarkList(lines.slice(0, REMARKS_SHOWN)),
    lines.length > REMARKS_SHOWN
      ? el("details", {}, el("summary", {}, `${lines.length - REMARKS_SHOWN} more`), remarkList(lines.slice(REMARKS_SHOWN)))
      : null]);
  return part("remarks", "Failures, gaps and diagnosis", null,
    kinds.length ? kinds : el("p", {}, "Nothing failed, nothing was skipped, and nothing looks wrong."));
}

function tree(value) {
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return el("span", {}, value.join(", "));
  if (value === null || typeof value !== "object") return el("span", {}, String(value));
  return el("dl", {}, Object.entries(value).map(([key, inner]) => [el("dt", {}, key), el("dd", {}, tree(inner))]));
}

function originPart() {
  const runs = content.runs.map((run) => {
    const m = run.manifest;
    const facts = [
      ["Run", run.name], ["Suite", m.suite && `${m.suite}, version ${m.suite_version}`], ["Suite's sha256", m.suite_sha256], ["Seed", m.seed],
      ["Begun, ended", m.begun && `${m.begun}, ${m.ended || "not ended"}`],
      ["nacbench", m.nacbench && `${m.nacbench}${m.git ? `, commit ${m.git.commit}${m.git.changed ? " with changes" : ""}` : ""}`],
      ["Command", m.command && m.command.join(" ")],
      ["Machine", m.machine && `${m.machine.cpu}, ${m.machine.cores} cores, ${m.machine.memory_gib} GiB, ${m.machine.system}, Python ${m.machine.python} (fingerprint ${m.machine.fingerprint})`],
      ["Resampler", m.resampler],
    ].filter(([, value]) => value !== undefined && value !== null && value !== "");
    return el("div", { class: "run" },
      el("dl", { class: "facts" }, facts.map(([key, value]) => [el("dt", {}, key), el("dd", {}, String(value))])),
      ["libraries", "codecs", "metrics", "resolved_suite"].filter((key) => m[key]).map((key) =>
        el("details", {}, el("summary", {}, { libraries: "Libraries", codecs: "Codecs and builds", metrics: "Metrics", resolved_suite: "Suite as it ran" }[key]), tree(m[key]))),
      el("details", {}, el("summary", {}, "Whole manifest"), el("pre", {}, JSON.stringify(m, null, 1))),
      citeBox(run));
  });
  const machines = content.machines.length > 1 ? el("p", { class: "warning" }, `Speed was measured on different machines and must not be compared: ${content.machines.join(", ")}.`) : null;
  const listening = content.listening ? el("p", {}, content.listening) : null;
  return part("origin", "Origin", null, machines, listening, runs);
}

function citeBox(run) {
  const said = el("output");
  const boxes = [["Text", run.cite.text], ["BibTeX", run.cite.bibtex]].map(([name, text]) => {
    const area = el("pre", { tabindex: 0, "aria-label": `${name} citation` }, text);
    return el("div", { class: "citation" }, area,
      el("button", { type: "button", onclick: async () => {
        try {
          await navigator.clipboard.writeText(text);
          said.textContent = `${name} copied.`;
        } catch {
          getSelection().selectAllChildren(area); // no clipboard for this page: Ctrl-C finishes it
          said.textContent = `${name} selected; copy it with Ctrl-C.`;
        }
      } }, `Copy ${name}`));
  });
  return el("div", { class: "cite", role: "group", "aria-label": "Cite this run" }, el("h3", {}, "Cite this run"), boxes, said);
}
