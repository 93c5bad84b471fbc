// The page of one cell.

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
    ["energy_j", "energy of the processors, J"],
    ["gpu_energy_j", "energy of the GPUs, J"],
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
    ...again(of.command),
    make("h3", {}, "Values"),
    values,
    make("h3", {}, "Cost"),
    stages.length ? costs : make("p", {}, "No model was trained."),
    make("h3", {}, "Provenance"),
    make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
  );
}


// A command with a button that copies it, or selects it where a page may not write to the clipboard.
function again(command) {
  const text = make("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, command);
  const said = make("span", { role: "status", class: "caption" });
  const copy = async () => {
    said.textContent = "";
    try {
      await navigator.clipboard.writeText(command);
      said.textContent = "Copied.";
    } catch {
      text.focus();
      getSelection().selectAllChildren(text);
      said.textContent = "The browser does not let a page copy here. The command is selected: copy it with Ctrl+C.";
    }
  };
  return [text, make("p", {}, make("button", { type: "button", onclick: copy }, "Copy the command"), " ", said)];
}
