// The sample browser.

const percent = (like) => `${Math.round(100 * like)} %`;
const nameOf = (set) => (set.trained ? `${set.method} · seed ${set.seed}` : set.method);

function options(select, values, chosen) {
  select.replaceChildren(
    ...values.map(([value, label]) => make("option", { value, selected: value === chosen }, label)),
  );
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
  options(
    $("dataset"),
    datasets.map((name) => [name, name]),
    dataset,
  );
  options(
    $("decoding"),
    decodings.map((name) => [name, name]),
    decoding,
  );
  options(
    $("left"),
    names.map((name) => [name, name]),
    nameOf(left),
  );
  options(
    $("right"),
    names.map((name) => [name, name]),
    nameOf(right),
  );
  $("order").value = state.order;
  if ($("q").value !== state.q) $("q").value = state.q;
  if ($("likeness").of !== sets[0]) likeness(sets, dataset);
  $("likeness").of = sets[0];

  const found = [left, right].map((set) => search(set, of));
  const pages = Math.max(1, Math.ceil(Math.max(...found.map((list) => list.length)) / PAGE));
  const page = Math.min(Math.max(0, Number(state.page) || 0), pages - 1);
  $("found").textContent = [left, right]
    .map((set, i) => `${nameOf(set)}: ${found[i].length} of ${set.rows.length} texts${first(set)}`)
    .join("; ");
  $("page").textContent = `page ${page + 1} of ${pages}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === pages - 1;
  const sides = [left, right].map((set, i) =>
    found[i].slice(page * PAGE, (page + 1) * PAGE).map((row) => sample(set, row, of)),
  );
  const pairs = Array.from({ length: Math.max(...sides.map((cards) => cards.length)) }, (_, i) =>
    sides.map((cards) => cards[i] || make("div")),
  );
  $("texts").replaceChildren(...[left, right].map((set) => make("h3", {}, nameOf(set))), ...pairs.flat());
}

// A page that must open at once holds the first texts of a set; what is said of all of them is of all of them.
const first = (set) =>
  set.rows.length < set.n ? ` (the first ${set.rows.length} of ${set.n} are on this page)` : "";
const source = (set, i, of) => (set.given && of.sources[i]) || "";

function search(set, of) {
  const wanted = state.q.toLowerCase();
  const rows = set.rows
    .map((row, i) => i)
    .filter((i) => (set.rows[i][0] + "\n" + source(set, i, of)).toLowerCase().includes(wanted));
  const by = { train: 2, other: 4 }[state.order];
  return by ? rows.sort((a, b) => set.rows[b][by] - set.rows[a][by] || a - b) : rows;
}

function sample(set, i, of) {
  const [text, train, trainLike, other, otherLike] = set.rows[i];
  const near = (what, like, found) =>
    make(
      "p",
      { class: "near" },
      like ? `${what}, ${percent(like)} alike: ${found}` : `${what}: none shares two words in a row`,
    );
  return make(
    "article",
    { "aria-label": `${nameOf(set)}, text ${i + 1}` },
    make("p", { class: "who" }, nameOf(set)),
    source(set, i, of) ? make("p", { class: "near" }, "Given: ", ...marked(source(set, i, of))) : "",
    make("p", {}, `${i + 1}. `, ...marked(text)),
    near("Nearest training text", trainLike, of.training[train]),
    near(
      otherLike ? `Nearest other text (${other + 1})` : "Nearest other text",
      otherLike,
      other < set.rows.length ? set.rows[other][0] : set.others[other],
    ),
  );
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
    ["train", "to a training text, mean"],
    ["most", "to a training text, most"],
    ["copies", "the same as a training text"],
    ["other", "to another text, mean"],
    ["repeated", "the same as another text"],
  ].map(([key, label]) => ({ key, label, direction: "none" }));
  const rows = sets.map((set) => {
    const [train, most, copies, other, repeated] = set.likeness;
    const share = (value) => ({ text: percent(value), value });
    const count = (n) => ({ text: `${n} of ${set.n}`, value: n });
    return {
      label: nameOf(set),
      apart: !set.trained,
      cells: {
        train: share(train),
        most: share(most),
        copies: count(copies),
        other: share(other),
        repeated: count(repeated),
      },
    };
  });
  const name = `How alike the texts of ${dataset} are, all of each set`;
  independent($("likeness"), name, "Texts of", columns, [{ label: "", rows }]);
}
