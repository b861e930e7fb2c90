// A table whose columns sort. A column: {title, value(row), show(row), numeric, best: "high"|"low"}.
function sortableTable(label, columns, { start = null, page = Infinity, grouped = null } = {}) {
  const state = { column: start ? start.column : null, descending: start ? start.descending : false, rows: [], shown: page };
  const body = el("tbody");
  const heads = columns.map((column, index) => {
    const button = el("button", { type: "button", onclick: () => sortBy(index) }, column.title,
      el("span", { class: "order", "aria-hidden": "true" }));
    return el("th", { scope: "col", class: column.numeric ? "number" : "", "aria-sort": "none" }, button);
  });
  const more = el("button", { type: "button", class: "more", onclick: () => { state.shown += page; draw(); } });
  const table = el("table", {}, el("caption", { class: "unseen" }, `${label}. Column heads sort.`),
    el("thead", {}, el("tr", {}, heads)), body);
  const scroller = el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": label }, table);

  function sortBy(index) {
    const column = columns[index];
    if (state.column === index) state.descending = !state.descending;
    else {
      state.column = index;
      state.descending = column.best === "high" || (column.numeric && column.best === undefined);
    }
    state.shown = page;
    draw();
    say(`Sorted by ${column.title}, ${state.descending ? "descending" : "ascending"}`);
  }

  function ordered() {
    if (state.column === null) return state.rows;
    const { value } = columns[state.column];
    const sign = state.descending ? -1 : 1;
    return state.rows.slice().sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const missing = (x === null || x === undefined) - (y === null || y === undefined);
      if (missing) return missing; // what has no value is last, whichever way
      if (x === y || x === null || x === undefined) return 0;
      return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
    });
  }

  function draw() {
    const rows = ordered();
    heads.forEach((head, index) => {
      const own = state.column === index;
      head.setAttribute("aria-sort", own ? (state.descending ? "descending" : "ascending") : "none");
      head.querySelector(".order").textContent = own ? (state.descending ? " ▼" : " ▲") : "";
    });
    body.replaceChildren();
    let group;
    for (const row of rows.slice(0, state.shown)) {
      if (grouped && state.column === null && grouped(row) !== group) {
        group = grouped(row);
        body.append(el("tr", { class: "group" }, el("th", { colspan: columns.length, scope: "rowgroup" }, group)));
      }
      body.append(el("tr", {}, columns.map((column, index) => cell(column, row, index))));
    }
    if (!rows.length) body.append(el("tr", {}, el("td", { colspan: columns.length, class: "nothing" }, "Nothing matches.")));
    const rest = rows.length - state.shown;
    more.hidden = rest <= 0;
    more.textContent = `Show ${Math.min(page, rest)} more of ${rest}`;
  }

  function cell(column, row, index) {
    const shown = column.show(row);
    const name = index === 0 ? "th" : "td";
    const attributes = { class: column.numeric ? "number" : "", scope: index === 0 ? "row" : null };
    return el(name, attributes, Array.isArray(shown) ? shown : [shown]);
  }

  return {
    node: el("div", {}, scroller, more),
    fill(rows) {
      state.rows = rows;
      state.shown = page;
      draw();
    },
    rows: () => state.rows,
  };
}
