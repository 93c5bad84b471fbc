"use strict";
// Text enters the page as text nodes alone: nothing here takes markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const PAGE = 10; // texts of each side
const DEFAULTS = {
  view: "exact", paper: data.papers[0].name, set: "table1", ci: "1", sort: "", desc: "", theme: "",
  dataset: Object.keys(data.samples)[0], decoding: "", left: "", right: "", order: "", q: "", page: "0", cell: "",
};
const state = { ...DEFAULTS };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// ---- the state is the address: #section&key=value&key=value

function read() {
  const [section, ...pairs] = location.hash.slice(1).split("&");
  const given = Object.fromEntries(new URLSearchParams(pairs.join("&")));
  for (const key in given) if (key in DEFAULTS) state[key] = given[key];
  for (const draw of Object.values(DRAWN)) draw();
  const at = $(section);
  if (at) at.scrollIntoView();
}

function set(section, changes) {
  Object.assign(state, changes);
  const differing = Object.keys(DEFAULTS).filter((key) => state[key] !== DEFAULTS[key]);
  const pairs = new URLSearchParams(differing.map((key) => [key, state[key]])).toString();
  history.replaceState(null, "", `#${section}${pairs ? "&" + pairs : ""}`);
  DRAWN[section]();
}

// ---- tables

const number = (text) => (text === "" || text === null ? NaN : text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));

// columns: {key, label, group, direction, left, wrap}; groups: {label, rows: {label, link, apart, cells: key -> cell}};
// cell: {text, value, small, printed, emphasis, tip}. Rows are sorted within their group; those set apart stay last.
function table(name, stub, columns, groups, sort, onsort) {
  const head = make("tr", {}, make("th", { scope: "col" }, stub));
  const thead = make("thead");
  if (columns.some((column) => column.group)) {
    const over = make("tr", {}, make("td"));
    for (let i = 0; i < columns.length; ) {
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
    const button = make("button", { type: "button", title: better, "data-key": column.key, onclick: () => onsort(next(column, sort)) }, column.label);
    head.append(make("th", { scope: "col", "aria-sort": sorted, class: column.left ? "left" : null }, button));
  }
  thead.append(head);
  const made = make("table", { "aria-label": name }, thead);
  for (const group of groups) {
    const body = make("tbody");
    if (group.label) body.append(make("tr", { class: "group" }, make("th", { scope: "rowgroup" }, group.label), make("td", { colspan: columns.length })));
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
      const text = make(cell.tip ? "button" : "span", { class: cell.emphasis || null }, cell.text);
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
  if (!sort.key) return rows;
  const value = (row) => (row.cells[sort.key] || { value: NaN }).value;
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (typeof x === "string" || typeof y === "string") return String(x).localeCompare(String(y)) * (sort.descending ? -1 : 1);
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
  const rows = [...event.currentTarget.querySelectorAll("tbody tr:not(.group)")];
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
  tip.replaceChildren(...at.tip().filter(Boolean).map((text) => make("div", {}, text)));
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

// ---- overview

const FIELDS = ["text", "spread", "emphasis", "value", "half", "seeds", "low", "high", "n", "signature", "protocol", "published", "printedNote", "problem", "note"];
const POOLED = FIELDS.slice(9);

function measured(list) {
  const found = Object.fromEntries(FIELDS.map((field, i) => [field, list[i]]));
  for (const field of POOLED) found[field] = data.strings[found[field]];
  return found;
}

const digits = (text) => (Number.isFinite(number(text)) ? String(Number(number(text).toPrecision(6))) : String(text));
const fixed = (text, decimals) => number(text).toFixed(decimals).replace(/^-(?=[0.]+$)/, "");

function shown(key, list, exact) {
  const of = measured(list);
  const decimals = (of.text.split(".")[1] || "").length;
  const interval = of.spread ? `± ${of.spread}` : of.low && of.text !== "n/c" ? `${fixed(of.low, decimals)} to ${fixed(of.high, decimals)}` : "";
  const about = data.quantities[key];
  const tip = () => [
    `${about.label}${about.unit && about.unit !== "1" ? ", " + about.unit : ""}: ${digits(of.value)}`,
    of.problem && `not comparable: ${of.problem}`,
    of.half && `± ${digits(of.half)} over ${of.seeds} seeds (95 %, Student's t)`,
    of.low && `${digits(of.low)} to ${digits(of.high)} over ${of.n} examples (95 %${of.seeds > 1 ? ", mean of the seeds' ends" : ""})`,
    `signature ${of.signature}`,
    `protocol ${of.protocol}`,
    of.note,
    of.published && `printed: ${of.published}${of.printedNote ? " (" + of.printedNote + ")" : ""}`,
  ];
  return {
    text: of.text, value: of.problem ? NaN : number(of.value), emphasis: of.emphasis, tip,
    small: [state.ci === "1" && interval, exact && `exact ${exact[0]}`].filter(Boolean),
    printed: of.published && `(${of.published})`,
  };
}

function overview() {
  hush();
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  $("theme").value = state.theme;
  $("set").value = state.set;
  $("paper").value = state.paper;
  for (const input of document.getElementsByName("view")) input.checked = input.value === state.view;
  for (const label of document.querySelectorAll("[data-for]")) label.hidden = !label.dataset.for.split(" ").includes(state.view);
  $("intervals").checked = state.ci === "1";
  const box = $("tables");
  const paper = data.papers.find((of) => of.name === state.paper) || data.papers[0];
  if (state.view === "published") return printed(box, paper);
  const byPaper = state.view === "paper";
  const chosen = data.sets.find((of) => of.name === state.set) || data.sets[0];
  const keys = byPaper ? Object.values(paper.keys) : chosen.keys;
  const base = Object.fromEntries(Object.entries(paper.keys).map(([exact, own]) => [own, exact]));
  const columns = keys.map((key) => {
    const { label, arrow, group, direction } = data.quantities[byPaper && data.quantities[base[key]] ? base[key] : key];
    return { key, label: `${label}${arrow ? "\u00a0" + arrow : ""}`, group: byPaper ? paper.arithmetic : group, direction };
  });
  const groups = data.tables.map(({ dataset, decoding, rows }) => ({
    label: decoding ? `${dataset}, ${decoding}` : dataset,
    rows: rows.map(({ method, apart, cells }) => ({
      label: method, apart, link: `#cells&cell=${encodeURIComponent(cellOf(dataset, method, decoding))}`,
      cells: Object.fromEntries(keys.filter((key) => key in cells).map((key) => [key, shown(key, cells[key], byPaper && cells[base[key]])])),
    })),
  })).map((group) => ({ ...group, rows: group.rows.filter((row) => Object.keys(row.cells).length) })).filter((group) => group.rows.some((row) => !row.apart));
  const sort = { key: state.sort, descending: state.desc === "1" };
  const onsort = (to) => {
    set("overview", { sort: to.key, desc: to.descending ? "1" : "" });
    refocus(box, to.key || sort.key);
  };
  const why = byPaper ? paper.why.map((text) => make("p", {}, text)) : [];
  if (!keys.length) return box.replaceChildren(make("p", {}, `No cell was measured by ${paper.arithmetic}.`));
  box.replaceChildren(...why, table(byPaper ? paper.arithmetic : chosen.label, "Method", columns, groups, sort, onsort));
}

function printed(box, paper) {
  box.replaceChildren(make("p", {}, `What ${paper.label} prints, on its own data, splits, tokenizers and models. Notes say what is known to be wrong with a number.`));
  for (const { name, metrics, datasets } of paper.tables) {
    const at = make("div");
    const title = /^\d+$/.test(name) ? `Table ${name}` : name.startsWith("Table") ? name : `Section ${name}`;
    const columns = Object.entries(metrics).map(([key, label]) => ({ key, label, direction: "none" }));
    const groups = Object.entries(datasets).map(([dataset, methods]) => ({
      label: dataset,
      rows: Object.entries(methods).map(([method, cells]) => ({
        label: method,
        cells: Object.fromEntries(Object.entries(cells).map(([key, [text, note]]) => [key, {
          text, value: number(text), small: note ? ["with a note"] : [], tip: () => [`${metrics[key]}: ${text}, as printed`, note],
        }])),
      })),
    }));
    independent(at, `${paper.label}, ${title}`, "Method", columns, groups);
    box.append(make("h3", {}, `${paper.label}, ${title}`), at);
  }
}

// ---- samples

const percent = (like) => `${Math.round(100 * like)} %`;
const nameOf = (set) => (set.trained ? `${set.method} · seed ${set.seed}` : set.method);

function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, label]) => make("option", { value, selected: value === chosen }, label)));
  select.value = chosen;
}

function samples() {
  const datasets = Object.keys(data.samples);
  const dataset = datasets.includes(state.dataset) ? state.dataset : datasets[0];
  const of = data.samples[dataset];
  const decodings = [...new Set(of.sets.filter((set) => set.trained).map((set) => set.decoding))];
  const decoding = decodings.includes(state.decoding) ? state.decoding : decodings[0];
  const sets = of.sets.filter((set) => !set.trained || set.decoding === decoding);
  const names = sets.map(nameOf);
  const side = (name, fallback) => sets[names.includes(name) ? names.indexOf(name) : fallback];
  const [left, right] = [side(state.left, 0), side(state.right, sets.length - 1)];
  options($("dataset"), datasets.map((name) => [name, name]), dataset);
  options($("decoding"), decodings.map((name) => [name, name]), decoding);
  options($("left"), names.map((name) => [name, name]), nameOf(left));
  options($("right"), names.map((name) => [name, name]), nameOf(right));
  $("order").value = state.order;
  if ($("q").value !== state.q) $("q").value = state.q;
  if ($("likeness").of !== sets[0]) likeness(sets, dataset);
  $("likeness").of = sets[0];

  const found = [left, right].map((set) => search(set, of));
  const pages = Math.max(1, Math.ceil(Math.max(...found.map((list) => list.length)) / PAGE));
  const page = Math.min(Math.max(0, Number(state.page) || 0), pages - 1);
  $("found").textContent = [left, right].map((set, i) => `${nameOf(set)}: ${found[i].length} of ${set.rows.length} texts`).join("; ");
  $("page").textContent = `page ${page + 1} of ${pages}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === pages - 1;
  const sides = [left, right].map((set, i) => found[i].slice(page * PAGE, (page + 1) * PAGE).map((row) => sample(set, row, of)));
  const pairs = Array.from({ length: Math.max(...sides.map((cards) => cards.length)) }, (_, i) => sides.map((cards) => cards[i] || make("div")));
  $("texts").replaceChildren(...[left, right].map((set) => make("h3", {}, nameOf(set))), ...pairs.flat());
}

const source = (set, i, of) => (set.given && of.sources[i]) || "";

function search(set, of) {
  const wanted = state.q.toLowerCase();
  const rows = set.rows.map((row, i) => i).filter((i) => (set.rows[i][0] + "\n" + source(set, i, of)).toLowerCase().includes(wanted));
  const by = { train: 2, other: 4 }[state.order];
  return by ? rows.sort((a, b) => set.rows[b][by] - set.rows[a][by] || a - b) : rows;
}

function sample(set, i, of) {
  const [text, train, trainLike, other, otherLike] = set.rows[i];
  const near = (what, like, found) => make("p", { class: "near" }, like ? `${what}, ${percent(like)} alike: ${found}` : `${what}: none shares two words in a row`);
  return make("article", { "aria-label": `${nameOf(set)}, text ${i + 1}` }, make("p", { class: "who" }, nameOf(set)),
    source(set, i, of) ? make("p", { class: "near" }, "Given: ", ...marked(source(set, i, of))) : "",
    make("p", {}, `${i + 1}. `, ...marked(text)),
    near("Nearest training text", trainLike, of.training[train]),
    near(`Nearest other text (${other + 1})`, otherLike, set.rows[other][0]));
}

// The words searched for, marked.
function marked(text) {
  const [lower, wanted, parts] = [text.toLowerCase(), state.q.toLowerCase(), []];
  if (!wanted || lower.length !== text.length) return [text];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), make("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}

function likeness(sets, dataset) {
  const columns = [
    ["train", "to a training text, mean"], ["most", "to a training text, most"], ["copies", "same bigrams as a training text"],
    ["other", "to another text, mean"], ["repeated", "same bigrams as another text"],
  ].map(([key, label]) => ({ key, label, direction: "none" }));
  const rows = sets.map((set) => {
    const [train, other] = [2, 4].map((i) => set.rows.map((row) => row[i]));
    const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
    const share = (value) => ({ text: percent(value), value });
    const count = (list) => { const n = list.filter((like) => like === 1).length; return { text: `${n} of ${list.length}`, value: n }; };
    return {
      label: nameOf(set), apart: !set.trained,
      cells: { train: share(mean(train)), most: share(Math.max(...train)), copies: count(train), other: share(mean(other)), repeated: count(other) },
    };
  });
  independent($("likeness"), `How alike the texts of ${dataset} are`, "Texts of", columns, [{ label: "", rows }]);
}

// ---- cells

const nameOfCell = (of) => `${of.dataset}/${of.method}/${of.seed}${of.decoding ? "/" + of.decoding : ""}`;
const cellOf = (dataset, method, decoding) => {
  const those = data.cells.filter((of) => of.dataset === dataset && of.method === method);
  return nameOfCell(those.find((of) => of.decoding === decoding) || those[0]);
};

function cell() {
  const of = data.cells.find((one) => nameOfCell(one) === state.cell) || data.cells[0];
  options($("cell"), data.cells.map((one) => [nameOfCell(one), nameOfCell(one)]), nameOfCell(of));
  const box = $("one");
  if (box.of === of) return;
  box.of = of;
  const column = (key, label, left, wrap) => ({ key, label, left, wrap, direction: "none" });
  const columns = [column("value", "value"), column("low", "95 % from"), column("high", "to"), column("n", "n"), column("unit", "unit", true), column("signature", "signature", true, true), column("note", "note", true, true)];
  const order = Object.keys(data.quantities).filter((key) => key in of.values);
  const rows = order.map((key) => {
    const [value, ci, n, signature, interval, note] = of.values[key];
    const plain = (text) => ({ text: String(text), value: String(text) });
    const ended = (x) => ({ text: digits(x), value: number(x) });
    const said = [note, interval].map((i) => data.strings[i]).filter((text) => text && text !== "none").join("; ");
    return { label: key, cells: { value: ended(value), low: ci && ended(ci[0]), high: ci && ended(ci[1]), n: { text: String(n), value: n }, unit: plain(data.quantities[key].unit), signature: plain(data.strings[signature]), note: plain(said) } };
  });
  const values = make("div");
  independent(values, `Values of ${nameOfCell(of)}`, "Quantity", columns, [{ label: "", rows }]);
  const made = of.provenance;
  const listed = (found) => Object.entries(found).map(([key, value]) => `${key} ${value}`).join(", ");
  const facts = [
    ["Commit", `${made.git.sha || "none"}${made.git.dirty ? " with uncommitted changes" : ""}`], ["Data (sha256 of the manifest)", made.data],
    ["Device", made.device], ["Trained parameters", made.parameters.toLocaleString("en")], ["Pretrained", listed(made.pretrained)],
    ["Code", listed(made.code)], ["Settings", listed(made.settings)], ["Versions", listed(made.versions)], ["Tokens a text", listed(made.tokens)],
  ].filter(([, text]) => text);
  const costs = make("div");
  const stages = Object.entries(made.cost).map(([stage, cost]) => ({
    label: stage,
    cells: Object.fromEntries(Object.entries(cost).filter(([, x]) => x !== null).map(([key, x]) => [key, { text: x.toLocaleString("en"), value: x }])),
  }));
  const spent = [["wall_s", "seconds"], ["peak_mb", "memory, MB"], ["gpu_peak_mb", "GPU memory, MB"], ["tokens_per_s", "tokens/s"], ["step_s", "seconds a step"]].filter(([key]) => stages.some((stage) => key in stage.cells));
  if (stages.length) independent(costs, `Cost of ${nameOfCell(of)}`, "Stage", spent.map(([key, label]) => column(key, label)), [{ label: "", rows: stages }]);
  box.replaceChildren(
    make("h3", {}, "Make it again"), make("pre", { tabindex: "0" }, of.command), make("h3", {}, "Values"), values,
    make("h3", {}, "Cost"), stages.length ? costs : make("p", {}, "No model was trained."),
    make("h3", {}, "Provenance"), make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
  );
}

// ---- all of it

const DRAWN = { overview, samples, cells: cell }; // section -> what draws it from the state

options($("set"), data.sets.map((of) => [of.name, of.label]), state.set);
options($("paper"), data.papers.map((of) => [of.name, of.label]), state.paper);
const change = (id, section, changes) => $(id).addEventListener("change", (event) => set(section, changes(event.target)));
for (const input of document.getElementsByName("view")) input.addEventListener("change", () => set("overview", { view: input.value, sort: "", desc: "" }));
change("theme", "overview", (at) => ({ theme: at.value }));
change("set", "overview", (at) => ({ set: at.value, sort: "", desc: "" }));
change("paper", "overview", (at) => ({ paper: at.value, sort: "", desc: "" }));
change("intervals", "overview", (at) => ({ ci: at.checked ? "1" : "0" }));
change("dataset", "samples", (at) => ({ dataset: at.value, decoding: "", page: "0" }));
for (const id of ["decoding", "left", "right", "order"]) change(id, "samples", (at) => ({ [id]: at.value, page: "0" }));
change("cell", "cells", (at) => ({ cell: at.value }));
$("q").addEventListener("input", (event) => set("samples", { q: event.target.value, page: "0" }));
$("previous").addEventListener("click", () => set("samples", { page: String(Number(state.page) - 1) }));
$("next").addEventListener("click", () => set("samples", { page: String(Number(state.page) + 1) }));
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["focusin", "mouseover"]) document.addEventListener(kind, tell);
document.addEventListener("focusout", hush);
document.addEventListener("mouseout", (event) => { if (event.target.closest("td button") && !$("tip").contains(event.relatedTarget)) hush(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });
addEventListener("hashchange", read);
read();
