// Tables that are on the page without a script: their heads become buttons, which sort the rows of each group.

function sortable(made) {
  const heads = [...made.tHead.rows[made.tHead.rows.length - 1].cells];
  const groups = [...made.tBodies].map((body) => ({
    body,
    rows: [...body.rows].filter((row) => !row.matches(".dataset")),
  }));
  const draw = (sort) => {
    heads.forEach((head, key) => {
      const order = sort.key !== key ? "none" : sort.descending ? "descending" : "ascending";
      head.setAttribute("aria-sort", order);
      head.firstChild.onclick = () => draw(next({ key, direction: head.dataset.better }, sort));
    });
    for (const { body, rows } of groups) {
      const those = rows.map((row) => ({
        row,
        apart: row.matches(".apart"),
        cells: { [sort.key]: valueOf(row, sort.key) },
      }));
      body.append(...sorted(those, sort).map(({ row }) => row));
    }
  };
  for (const head of heads) {
    head.dataset.better = { "↑": "up", "↓": "down" }[head.textContent.slice(-1)] || "none";
    head.replaceChildren(make("button", { type: "button" }, ...head.childNodes));
  }
  draw({ key: "", descending: false });
}

// The number that a cell begins with as it is shown, or its text; NaN, which comes last, where there is no number.
function valueOf(row, key) {
  const cell = row.cells[key];
  if (!cell) return { value: NaN };
  const [shown] = [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean);
  if (!shown || /^(-|n\/c|nan)$/.test(shown)) return { value: NaN };
  const [first] = shown.replaceAll(",", "").replace("−", "-").replace("∞", "inf").split(" ");
  const value = number(first);
  return { value: Number.isNaN(value) ? shown : value };
}
