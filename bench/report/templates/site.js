// The data, the state, the cells, and what sets all of it going.

const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 10; // texts of each side
const DEFAULTS = {
  view: "exact",
  paper: data.papers[0].name,
  set: "table1",
  ci: "1",
  sort: "",
  desc: "",
  theme: "",
  dataset: Object.keys(data.samples)[0],
  decoding: "",
  left: "",
  right: "",
  order: "",
  q: "",
  page: "0",
  cell: "",
};
const state = { ...DEFAULTS };

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
// ---- cells

const nameOfCell = (of) => `${of.dataset}/${of.method}/${of.seed}${of.decoding ? "/" + of.decoding : ""}`;
const cellOf = (dataset, method, decoding) => {
  const those = data.cells.filter((of) => of.dataset === dataset && of.method === method);
  return nameOfCell(those.find((of) => of.decoding === decoding) || those[0]);
};

function cell() {
  const of = data.cells.find((one) => nameOfCell(one) === state.cell) || data.cells[0];
  options(
    $("cell"),
    data.cells.map((one) => [nameOfCell(one), nameOfCell(one)]),
    nameOfCell(of),
  );
  const box = $("one");
  if (box.of === of) return;
  box.of = of;
  const column = (key, label, left, wrap) => ({ key, label, left, wrap, direction: "none" });
  const columns = [
    column("value", "value"),
    column("low", "95 % from"),
    column("high", "to"),
    column("n", "n"),
    column("unit", "unit", true),
    column("signature", "signature", true, true),
    column("note", "note", true, true),
  ];
  const order = Object.keys(data.quantities).filter((key) => key in of.values);
  const rows = order.map((key) => {
    const [value, ci, n, signature, interval, note] = of.values[key];
    const plain = (text) => ({ text: String(text), value: String(text) });
    const ended = (x) => ({ text: digits(x), value: number(x) });
    const said = [note, interval]
      .map((i) => data.strings[i])
      .filter((text) => text && text !== "none")
      .join("; ");
    return {
      label: key,
      cells: {
        value: ended(value),
        low: ci && ended(ci[0]),
        high: ci && ended(ci[1]),
        n: { text: String(n), value: n },
        unit: plain(data.quantities[key].unit),
        signature: plain(data.strings[signature]),
        note: plain(said),
      },
    };
  });
  const values = make("div");
  independent(values, `Values of ${nameOfCell(of)}`, "Quantity", columns, [{ label: "", rows }]);
  const made = of.provenance;
  const listed = (found) =>
    Object.entries(found)
      .map(([key, value]) => `${key} ${value}`)
      .join(", ");
  const facts = [
    ["Commit", `${made.git.sha || "none"}${made.git.dirty ? " with uncommitted changes" : ""}`],
    ["Data (sha256 of the manifest)", made.data],
    ["Device", made.device],
    ["Trained parameters", made.parameters.toLocaleString("en")],
    ["Pretrained", listed(made.pretrained)],
    ["Code", listed(made.code)],
    ["Settings", listed(made.settings)],
    ["Versions", listed(made.versions)],
    ["Tokens a text", listed(made.tokens)],
  ].filter(([, text]) => text);
  const costs = make("div");
  const stages = Object.entries(made.cost).map(([stage, cost]) => ({
    label: stage,
    cells: Object.fromEntries(
      Object.entries(cost)
        .filter(([, x]) => x !== null)
        .map(([key, x]) => [key, { text: x.toLocaleString("en"), value: x }]),
    ),
  }));
  const spent = [
    ["wall_s", "seconds"],
    ["peak_mb", "memory, MB"],
    ["gpu_peak_mb", "GPU memory, MB"],
    ["tokens_per_s", "tokens/s"],
    ["step_s", "seconds a step"],
  ].filter(([key]) => stages.some((stage) => key in stage.cells));
  if (stages.length)
    independent(
      costs,
      `Cost of ${nameOfCell(of)}`,
      "Stage",
      spent.map(([key, label]) => column(key, label)),
      [{ label: "", rows: stages }],
    );
  box.replaceChildren(
    make("h3", {}, "Make it again"),
    make("pre", { tabindex: "0" }, of.command),
    make("h3", {}, "Values"),
    values,
    make("h3", {}, "Cost"),
    stages.length ? costs : make("p", {}, "No model was trained."),
    make("h3", {}, "Provenance"),
    make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
  );
}

// ---- all of it

const DRAWN = { overview, samples, cells: cell }; // section -> what draws it from the state

options(
  $("set"),
  data.sets.map((of) => [of.name, of.label]),
  state.set,
);
options(
  $("paper"),
  data.papers.map((of) => [of.name, of.label]),
  state.paper,
);
const change = (id, section, changes) =>
  $(id).addEventListener("change", (event) => set(section, changes(event.target)));
for (const input of document.getElementsByName("view"))
  input.addEventListener("change", () => set("overview", { view: input.value, sort: "", desc: "" }));
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
document.addEventListener("mouseout", (event) => {
  if (event.target.closest("td button") && !$("tip").contains(event.relatedTarget)) hush();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hush();
});
addEventListener("hashchange", read);
read();
