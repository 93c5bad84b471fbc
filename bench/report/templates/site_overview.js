// The tables of this suite, by either arithmetic, and those of the papers.

const FIELDS = [
  "text",
  "spread",
  "emphasis",
  "value",
  "half",
  "seeds",
  "low",
  "high",
  "n",
  "signature",
  "protocol",
  "published",
  "printedNote",
  "problem",
  "note",
];
const POOLED = FIELDS.slice(9);

function measured(list) {
  const found = Object.fromEntries(FIELDS.map((field, i) => [field, list[i]]));
  for (const field of POOLED) found[field] = data.strings[found[field]];
  return found;
}

const digits = (text) => (Number.isFinite(number(text)) ? String(Number(number(text).toPrecision(6))) : String(text));
const fixed = (text, decimals) =>
  number(text)
    .toFixed(decimals)
    .replace(/^-(?=[0.]+$)/, "");

function shown(key, list, exact) {
  const of = measured(list);
  const decimals = (of.text.split(".")[1] || "").length;
  const interval = of.spread
    ? `± ${of.spread}`
    : of.low && of.text !== "n/c"
      ? `${fixed(of.low, decimals)} to ${fixed(of.high, decimals)}`
      : "";
  const about = data.quantities[key];
  const tip = () => [
    `${about.label}${about.unit && about.unit !== "1" ? ", " + about.unit : ""}: ${digits(of.value)}`,
    of.problem && `not comparable: ${of.problem}`,
    of.half && `± ${digits(of.half)} over ${of.seeds} seeds (95 %, Student's t)`,
    of.low &&
      `${digits(of.low)} to ${digits(of.high)} over ${of.n} examples (95 %, mean of the seeds' ends)`,
    `signature ${of.signature}`,
    `protocol ${of.protocol}`,
    of.note,
    of.published && `printed: ${of.published}${of.printedNote ? " (" + of.printedNote + ")" : ""}`,
  ];
  return {
    text: of.text,
    value: of.problem ? NaN : number(of.value),
    emphasis: of.emphasis,
    tip,
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
  for (const label of document.querySelectorAll("[data-for]"))
    label.hidden = !label.dataset.for.split(" ").includes(state.view);
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
    return {
      key,
      label: `${label}${arrow ? "\u00a0" + arrow : ""}`,
      group: byPaper ? paper.arithmetic : chosen === data.sets[0] ? group : "",
      direction,
    };
  });
  const groups = data.tables
    .map(({ dataset, decoding, rows }) => ({
      label: decoding ? `${dataset}, ${decoding}` : dataset,
      rows: rows.map(({ method, apart, cells }) => ({
        label: method,
        apart,
        link: `#cells&cell=${encodeURIComponent(cellOf(dataset, method, decoding))}`,
        cells: Object.fromEntries(
          keys.filter((key) => key in cells).map((key) => [key, shown(key, cells[key], byPaper && cells[base[key]])]),
        ),
      })),
    }))
    .map((group) => ({ ...group, rows: group.rows.filter((row) => Object.keys(row.cells).length) }))
    .filter((group) => group.rows.some((row) => !row.apart));
  const sort = { key: state.sort, descending: state.desc === "1" };
  const onsort = (to) => {
    set("overview", { sort: to.key, desc: to.descending ? "1" : "" });
    refocus(box, to.key || sort.key);
  };
  const why = byPaper ? paper.why.map((text) => make("p", {}, text)) : [];
  if (!keys.length) return box.replaceChildren(make("p", {}, `No cell was measured by ${paper.arithmetic}.`));
  box.replaceChildren(
    ...why,
    table(byPaper ? paper.arithmetic : chosen.label, "Method", columns, groups, sort, onsort),
  );
}

function printed(box, paper) {
  box.replaceChildren(
    make(
      "p",
      {},
      `What ${paper.label} prints, on its own data and models. Notes say what is known to be wrong with a number.`,
    ),
  );
  for (const { name, metrics, datasets } of paper.tables) {
    const at = make("div");
    const title = /^\d+$/.test(name) ? `Table ${name}` : name.startsWith("Table") ? name : `Section ${name}`;
    const columns = Object.entries(metrics).map(([key, label]) => ({ key, label, direction: "none" }));
    const groups = Object.entries(datasets).map(([dataset, methods]) => ({
      label: dataset,
      rows: Object.entries(methods).map(([method, cells]) => ({
        label: method,
        cells: Object.fromEntries(
          Object.entries(cells).map(([key, [text, note]]) => [
            key,
            {
              text,
              value: number(text),
              small: note ? ["with a note"] : [],
              tip: () => [`${metrics[key]}: ${text}, as printed`, note],
            },
          ]),
        ),
      })),
    }));
    independent(at, `${paper.label}, ${title}`, "Method", columns, groups);
    box.append(make("h3", {}, `${paper.label}, ${title}`), at);
  }
}
