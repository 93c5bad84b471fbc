"use strict";
// Text enters the page as text nodes alone: nothing here takes markup.
const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
// ---- tables

const number = (text) =>
  text === "" || text === null ? NaN : text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);

// columns: {key, label, group, direction, left, wrap}; groups: {label, rows: {label, link, apart, cells: key -> cell}};
// cell: {text, value, small, printed, emphasis, tip}. Rows are sorted within their group; those set apart stay last.
function table(name, stub, columns, groups, sort, onsort) {
  const head = make("tr", {}, make("th", { scope: "col" }, stub));
  const thead = make("thead");
  if (columns.some((column) => column.group)) {
    const over = make("tr", {}, make("td"));
    for (let i = 0; i < columns.length;) {
      let end = i;
      while (end < columns.length && columns[end].group === columns[i].group) end++;
      over.append(make("th", { class: "over", colspan: end - i, scope: "colgroup" }, columns[i].group));
      i = end;
    }
    thead.append(over);
  }
  for (const column of columns) {
    const sorted = column.key !== sort.key ? "none" : sort.descending ? "descending" : "ascending";
    const better = { up: "higher is better", down: "lower is better" }[column.direction];
    const button = make(
      "button",
      { type: "button", title: better, "data-key": column.key, onclick: () => onsort(next(column, sort)) },
      column.label,
    );
    head.append(make("th", { scope: "col", "aria-sort": sorted, class: column.left ? "left" : null }, button));
  }
  thead.append(head);
  const made = make("table", { "aria-label": name }, thead);
  for (const group of groups) {
    const body = make("tbody");
    if (group.label)
      body.append(
        make(
          "tr",
          { class: "dataset" },
          make("th", { scope: "rowgroup" }, group.label),
          make("td", { colspan: columns.length }),
        ),
      );
    for (const row of sorted(group.rows, sort)) body.append(line(row, columns));
    made.append(body);
  }
  const first = made.querySelector("td button");
  if (first) first.tabIndex = 0;
  made.addEventListener("keydown", move);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, made);
}

function line(row, columns) {
  const label = row.link ? make("a", { href: row.link }, row.label) : row.label;
  const made = make("tr", { class: row.apart ? "apart" : null }, make("th", { scope: "row" }, label));
  for (const column of columns) {
    const cell = row.cells[column.key];
    const at = make("td", { class: [column.left && "left", column.wrap && "wrap"].filter(Boolean).join(" ") || null });
    if (!cell) at.append("-");
    else {
      const mark = { best: "strong", second: "ins" }[cell.emphasis];
      const text = make(cell.tip ? "button" : "span", {}, mark ? make(mark, {}, cell.text) : cell.text);
      if (cell.tip) {
        text.type = "button";
        text.tabIndex = -1;
        text.tip = cell.tip;
      }
      at.append(text);
      for (const small of cell.small || []) at.append(make("small", {}, small));
      if (cell.printed) at.append(make("small", { class: "printed" }, cell.printed));
    }
    made.append(at);
  }
  return made;
}

// First the better end, then the other, then the order of the suite.
function next(column, sort) {
  const first = column.direction === "up";
  if (sort.key !== column.key) return { key: column.key, descending: first };
  return sort.descending === first ? { key: column.key, descending: !first } : { key: "", descending: false };
}

function sorted(rows, sort) {
  if (sort.key === "") return rows; // a key may be 0
  const value = (row) => (row.cells[sort.key] || { value: NaN }).value;
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (typeof x === "string" || typeof y === "string")
      return String(x).localeCompare(String(y)) * (sort.descending ? -1 : 1);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return (x < y ? -1 : x > y ? 1 : 0) * (sort.descending ? -1 : 1);
  };
  return [...rows].sort((a, b) => Boolean(a.apart) - Boolean(b.apart) || compare(a, b));
}

// A table whose order is its own.
function independent(box, name, stub, columns, groups) {
  const draw = (sort, focus) => {
    const made = table(name, stub, columns, groups, sort, (to) => draw(to, to.key || sort.key));
    box.replaceChildren(made);
    if (focus) refocus(made, focus);
  };
  draw({ key: "", descending: false });
}

function refocus(within, key) {
  const button = within.querySelector(`thead button[data-key="${CSS.escape(key)}"]`);
  if (button) button.focus({ preventScroll: true });
}

// Arrow keys go from number to number; the table is one stop of the tab key.
function move(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const from = event.target.closest("td");
  if (!step || !from) return;
  event.preventDefault();
  const rows = [...event.currentTarget.querySelectorAll("tbody tr:not(.dataset)")];
  let row = rows.indexOf(from.parentElement);
  let column = from.cellIndex;
  for (;;) {
    row += step[0];
    column += step[1];
    if (!rows[row] || !rows[row].cells[column]) return;
    const to = rows[row].cells[column].querySelector("button");
    if (to) {
      event.target.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
      return;
    }
  }
}

// ---- what is said of a number on hover and on focus

function tell(event) {
  const at = event.target.closest && event.target.closest("td button");
  const tip = $("tip");
  if (!at || !at.tip) return;
  hush();
  tip.replaceChildren(
    ...at
      .tip()
      .filter(Boolean)
      .map((text) => make("div", {}, text)),
  );
  tip.hidden = false;
  at.setAttribute("aria-describedby", "tip");
  const box = at.getBoundingClientRect();
  const below = box.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - tip.offsetHeight)}px`;
}

function hush() {
  $("tip").hidden = true;
  for (const at of document.querySelectorAll("[aria-describedby=tip]")) at.removeAttribute("aria-describedby");
}
