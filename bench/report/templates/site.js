// The data, the state, and what sets all of it going.

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
  from: "",
  model: "",
  pair: "",
  tau: "",
  cell: "",
};
const state = { ...DEFAULTS };

// ---- the state is the address: #section&key=value&key=value

let followed = ""; // a link of the page changes a part of the state; an address from elsewhere is all of it

function read() {
  if (followed !== location.hash) Object.assign(state, DEFAULTS, { theme: state.theme });
  followed = "";
  const [section, ...pairs] = location.hash.slice(1).split("&");
  const given = Object.fromEntries(new URLSearchParams(pairs.join("&")));
  for (const key in given) if (key in DEFAULTS) state[key] = given[key];
  for (const draw of Object.values(DRAWN)) draw();
  const at = $(section);
  if (!at) return;
  address(section);
  at.scrollIntoView();
}

function set(section, changes) {
  Object.assign(state, changes);
  address(section);
  DRAWN[section]();
}

function address(section) {
  const differing = Object.keys(DEFAULTS).filter((key) => state[key] !== DEFAULTS[key]);
  const pairs = new URLSearchParams(differing.map((key) => [key, state[key]])).toString();
  try {
    history.replaceState(null, "", `#${section}${pairs ? "&" + pairs : ""}`);
  } catch {
    // inside of another page, as of `snakemake --report`, the address is not this page's
  }
}
// ---- all of it

const DRAWN = { overview, samples, between, cells: cell }; // section -> what draws it from the state

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
$("theme").addEventListener("change", (event) => {
  state.theme = event.target.value;
  address(location.hash.slice(1).split("&")[0]); // wherever that is
  overview();
});
change("set", "overview", (at) => ({ set: at.value, sort: "", desc: "" }));
change("paper", "overview", (at) => ({ paper: at.value, sort: "", desc: "" }));
change("intervals", "overview", (at) => ({ ci: at.checked ? "1" : "0" }));
change("dataset", "samples", (at) => ({ dataset: at.value, decoding: "", page: "0" }));
for (const id of ["decoding", "left", "right", "order"]) change(id, "samples", (at) => ({ [id]: at.value, page: "0" }));
change("from", "between", (at) => ({ from: at.value, model: "", pair: "", tau: "" }));
change("model", "between", (at) => ({ model: at.value, pair: "", tau: "" }));
change("pair", "between", (at) => ({ pair: at.value, tau: "" }));
change("cell", "cells", (at) => ({ cell: at.value }));
$("tau").addEventListener("input", (event) => set("between", { tau: event.target.value }));
document.querySelectorAll("#reports table, #cost table").forEach(sortable);
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
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  followed = link ? link.hash : "";
});
addEventListener("hashchange", read);
read();
