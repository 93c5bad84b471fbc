// The interpolation explorer: every list is on the page, and this shows one of them, a step at a time.

const lists = [...document.querySelectorAll("#between article")].map((article) => ({
  article,
  ...article.dataset,
  steps: [...article.querySelectorAll("tbody tr")].map((row) => ({
    row,
    label: row.cells[0].textContent,
    text: row.cells[1].textContent,
  })),
}));

function between() {
  if (!lists.length) return;
  const chosen = (id, found) => {
    const names = [...new Set(found.map((list) => list[id]))];
    const name = names.includes(state[id]) ? state[id] : names[0];
    options(
      $(id),
      names.map((value) => [value, value]),
      name,
    );
    return found.filter((list) => list[id] === name);
  };
  const [{ article, steps }] = chosen("pair", chosen("model", chosen("from", lists)));
  for (const list of lists) list.article.hidden = list.article !== article;
  const last = steps.length - 2; // the first and the last are the sentences themselves
  const at = Math.min(Math.max(Math.round(state.tau) || 1, 1), last);
  steps.forEach(({ row, text }, i) => {
    row.cells[1].replaceChildren(...(i ? changed(steps[i - 1].text, text).parts : [text]));
    if (i === at) row.setAttribute("aria-current", "step");
    else row.removeAttribute("aria-current");
  });
  const { parts, fresh, words } = changed(steps[at - 1].text, steps[at].text);
  const since = `${fresh || "none"} of ${words} words ${fresh === 1 ? "is" : "are"} new since ${steps[at - 1].label}`;
  Object.assign($("tau"), { min: 1, max: last, value: at });
  $("tau").setAttribute("aria-valuetext", `${steps[at].label}: ${steps[at].text} (${since})`);
  $("at").textContent = steps[at].label;
  $("decoded").replaceChildren(...parts);
  $("since").textContent = fresh ? `${since}, underlined` : since;
}

// The words of a text that are not, in this order, in the one before: the rest is a longest common subsequence.
function changed(before, text) {
  const [a, b] = [before.split(" "), text.split(" ").filter(Boolean)];
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const parts = [];
  let [i, fresh] = [0, 0];
  b.forEach((word, j) => {
    while (i < a.length && a[i] !== word && common[i + 1][j] >= common[i][j + 1]) i++;
    const kept = i < a.length && a[i] === word;
    if (kept) i++;
    else fresh++;
    parts.push(kept ? word : make("ins", {}, word), " ");
  });
  return { parts, fresh, words: b.length };
}
