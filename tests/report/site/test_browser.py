"""The page in a real Chromium: sorting, keys, search, copying, no complaint on the console and nothing fetched."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from bench.report.site import texts
from tests.browser import Browser
from tests.report.site.site_run import DECODED, HOSTILE, TRAINING, rendered

COLUMN = (
    "[...document.querySelectorAll('#tables tbody:nth-of-type(1) tr:not(.dataset)')].map(r => r.cells[{}].innerText)"
)


def test_state_is_in_the_address(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#overview&view=paper&paper=della&sort=paper%3Adella%2Fppl")
    shown = [float(text.split()[0]) for text in chromium.run(COLUMN.format(1))]
    assert len(shown) == 4 and shown == sorted(shown)
    assert chromium.run("document.querySelector('[aria-sort=ascending]').innerText.includes('PPL')")
    assert chromium.run("document.querySelector('[name=view]:checked').value") == "paper"

    chromium.open(f"{site.as_uri()}#overview&view=published&paper=trace")
    assert "TRACE, Table 2" in chromium.run("document.querySelector('#tables').innerText")

    chromium.open(f"{site.as_uri()}#samples&dataset=sotu&decoding=greedy()&left=della+%C2%B7+seed+1&q=KING")
    assert "della · seed 1: 2 of 13 texts" in chromium.run("document.querySelector('#found').innerText")
    assert set(chromium.run("[...document.querySelectorAll('mark')].map(m => m.innerText)")) == {"king"}
    assert chromium.run("document.querySelector('#decoding').value") == "greedy()"

    chromium.open(f"{site.as_uri()}#samples&dataset=kjv2bbe&left=embed+%C2%B7+seed+1&right=human")
    left, right = chromium.run("[...document.querySelectorAll('#texts article')].slice(0, 2).map(a => a.textContent)")
    assert "Given: the source of" in left and "Given" not in right

    chromium.open(f"{site.as_uri()}#cells&cell=bbe/della/2/greedy")
    assert "decoding-greedy/record.json" in chromium.run("document.querySelector('#one pre').innerText")
    assert_quiet(chromium, site)


def test_a_big_suite_says_how_many_texts_are_shown(
    site: Path, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "LIMIT", 8_000)
    rendered(site.parent, "index", "big.html")
    chromium.open(f"{(site.parent / 'big.html').as_uri()}#samples&order=other")
    said = chromium.run("document.querySelector('#found').textContent")
    assert re.search(r"human: (\d) of \1 texts \(the first \1 of 13 are on this page\)", said), said
    assert "undefined" not in chromium.run("document.querySelector('#texts').textContent")
    assert_quiet(chromium, site.parent / "big.html")


def test_clicks_and_keys(site: Path, chromium: Browser) -> None:
    chromium.open(site.as_uri())
    before = chromium.run(COLUMN.format(0))
    chromium.run("document.querySelector('#tables thead button[data-key=ppl]').focus()")
    for order, descending in (("ascending", False), ("descending", True)):
        chromium.press("Enter")
        assert chromium.run("document.activeElement.closest('th').ariaSort") == order
        ppl = [float(text.split()[0]) for text in chromium.run(COLUMN.format(1))[:-1]]  # human is last, and has none
        assert ppl == sorted(ppl, reverse=descending)
    chromium.run("document.activeElement.click()")
    assert chromium.run(COLUMN.format(0)) == before

    chromium.run("document.querySelector('#tables td button').focus()")
    assert "signature ppl|protocol:exact" in chromium.run("document.querySelector('#tip').innerText")
    assert not chromium.run("document.querySelector('#tip').hidden")
    chromium.press("ArrowRight")
    assert "signature nelbo|" in chromium.run("document.querySelector('#tip').innerText")
    assert chromium.run("document.activeElement.getAttribute('aria-describedby')") == "tip"
    chromium.press("Escape")
    assert chromium.run("document.querySelector('#tip').hidden")
    assert chromium.run("document.querySelectorAll('#tables td button[tabindex=\"0\"]').length") == 1

    chromium.run("document.querySelector('[name=view][value=paper]').click()")
    assert "view=paper" in chromium.run("location.hash")
    chromium.run("document.querySelector('#tables tbody a').click()")
    assert chromium.run("document.querySelector('#cell').value") == "bbe/gpt2/1"
    held = chromium.run("location.hash")
    assert held.startswith("#cells&") and "view=paper" in held and "cell=bbe" in held, "all that is shown"
    assert_quiet(chromium, site)


def test_interpolation_goes_step_by_step(site: Path, chromium: Browser) -> None:
    listed = site.read_text(encoding="utf-8").partition('data-from="bbe"')[2].partition("</article>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th><td class="left wrap">(.*?)</td>', listed)
    assert rows == list(zip(  # what is there without a script
        ["Sentence 1", "τ = 1", "τ = 0.7", "τ = 0.3", "τ = 0", "Sentence 2"],
        [TRAINING[0], "the sea &lt;b&gt;", *DECODED[1:], "pair 1"], strict=True,
    ))  # fmt: skip

    chromium.open(f"{site.as_uri()}#between&model=della+%C2%B7+seed+2&pair=2")
    visible = "[...document.querySelectorAll('#between article:not([hidden]) h3')].map(h => h.innerText)"
    assert chromium.run(visible) == ["bbe · della · seed 2 · pair 2"]
    chromium.run("document.querySelector('#tau').focus()")
    said = "document.querySelector('#tau').ariaValueText"
    steps = [
        ("τ = 1", "", ["<b>"]), ("τ = 0.7", "ArrowRight", []), ("τ = 0.3", "ArrowRight", ["king", "and", "the"]),
        ("τ = 0", "End", ["went", "out", "to"]), ("τ = 0.3", "ArrowLeft", ["king", "and", "the"]),
    ]  # fmt: skip
    for label, key, fresh in steps:
        if key:
            chromium.press(key)
        assert chromium.run("document.querySelector('#at').textContent") == label
        assert chromium.run(said).startswith(f"{label}: the ")
        words = chromium.run("[...document.querySelectorAll('#decoded ins')].map(i => i.textContent)")
        assert sorted(words) == sorted(fresh)
        assert f"({len(fresh) or 'none'} of " in chromium.run(said)
        current = "document.querySelector('#between article:not([hidden]) [aria-current] th').textContent"
        assert chromium.run(current) == label
    assert "tau=3" in chromium.run("location.hash")
    line = "getComputedStyle(document.querySelector('#decoded ins')).textDecorationLine"
    assert chromium.run(line) == "underline"  # not by colour alone
    chromium.run(
        "s = document.querySelector('#model'); s.value = 'embed · seed 1'; s.dispatchEvent(new Event('change'))"
    )
    assert chromium.run(visible) == ["bbe · embed · seed 1 · pair 1"]
    assert_quiet(chromium, site)


def test_tables_of_reports_are_sorted_too(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#reports")
    first = "document.querySelector('#report-della-table8 table')"
    # not innerText, which depends on whether the browser has drawn that part of the page yet
    heads = f"[...{first}.tHead.rows[{first}.tHead.rows.length - 1].cells]"
    bleu = chromium.run(f"{heads}.findIndex(h => h.textContent.startsWith('BLEU'))")  # which human texts have too
    shown = f"[r.cells[0].textContent, (r.cells[{bleu}] || r).textContent, r.className]"
    rows = f"[...{first}.tBodies[0].rows].map(r => {shown})"
    before = chromium.run(rows)
    chromium.run(f"{heads}[{bleu}].firstChild.focus()")
    for order, reverse in (("descending", True), ("ascending", False)):
        chromium.press("Enter")
        assert chromium.run("document.activeElement.closest('th').ariaSort") == order
        head, *others = chromium.run(rows)
        assert head == before[0] and sorted(others) == sorted(before[1:])
        values = [float(text.partition("±")[0]) for _, text, kind in others if kind != "apart"]
        assert values == sorted(values, reverse=reverse) and others[-1][2] == "apart"
    chromium.press("Enter")
    assert chromium.run(rows) == before
    chromium.run(f"{heads}[0].firstChild.click()")  # the names of the rows
    names = [text for text, _, kind in chromium.run(rows)[1:] if kind != "apart"]
    assert chromium.run(f"{heads}[0].ariaSort") == "ascending"
    assert names == sorted(names) != [text for text, _, kind in before[1:] if kind != "apart"]
    chromium.run("document.querySelector('#cost thead tr:last-child th:last-child button').click()")
    assert_quiet(chromium, site)


def test_a_cell_is_sorted_by_the_number_it_begins_with(site: Path, chromium: Browser) -> None:
    shown = ["+12.30 ± 0.20, worse", "−0.50", "1,234 (12.1)", "∞", "12 of 20", "nan", "n/c", "-", "", "2-gram"]
    chromium.open(site.as_uri())
    script = "r = document.createElement('tr'); r.insertCell().textContent = '{}'; String(valueOf(r, 0).value)"
    found = [chromium.run(script.format(text)) for text in shown]
    assert found == ["12.3", "-0.5", "1234", "Infinity", "12", *["NaN"] * 4, "2-gram"]


def test_an_address_is_all_of_what_it_shows(site: Path, chromium: Browser) -> None:
    """However the page was before; a link of the page changes its part of it."""
    chromium.open(f"{site.as_uri()}#overview&view=published&paper=trace")
    chromium.run("location.hash = '#overview&sort=ppl'")
    until(chromium, "document.querySelector('[name=view]:checked').value === 'exact'")
    assert chromium.run("location.hash") == "#overview&sort=ppl"
    chromium.run("document.querySelector('#tables tbody a').click()")
    until(chromium, "location.hash.startsWith('#cells&')")
    assert {"sort=ppl", "cell=bbe%2Fembed%2F1"} <= {*chromium.run("location.hash").split("&")}
    chromium.run("history.back()")
    until(chromium, "document.querySelector('#cell').value === 'bbe/gpt2/1'")  # the first: nothing is said of it
    assert chromium.run("location.hash") == "#overview&sort=ppl"

    chromium.open(f"{site.as_uri()}#samples&q=king")
    chromium.run("s = document.querySelector('#theme'); s.value = 'dark'; s.dispatchEvent(new Event('change'))")
    section, *pairs = chromium.run("location.hash").split("&")
    assert section == "#samples" and {*pairs} == {"q=king", "theme=dark"}

    chromium.open(f"{site.as_uri()}#between&tau=2.5")
    assert chromium.run("document.querySelector('#at').textContent") == "τ = 0.3"
    assert chromium.run("document.querySelector('#one').textContent") != "", "what is drawn after it is there"
    assert_quiet(chromium, site)


def until(chromium: Browser, condition: str) -> None:
    """The address changes, and the page after it, when the browser gets to it."""
    ends = time.monotonic() + 30
    while not chromium.run(condition):
        assert time.monotonic() < ends, condition
        time.sleep(0.02)


def test_the_command_is_copied_or_selected(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#cells&cell=bbe/della/2")
    command = chromium.run("document.querySelector('#one pre').textContent")
    button, said = "document.querySelector('#one p button')", "document.querySelector('#one [role=status]').textContent"
    for write, message in (
        ("async (text) => { window.copied = text; }", "Copied."),
        ("async () => { throw new DOMException('refused', 'NotAllowedError'); }", "The command is selected"),
    ):
        chromium.run(
            f"Object.defineProperty(navigator, 'clipboard', {{configurable: true, value: {{writeText: {write}}}}})"
        )
        chromium.run(f"{button}.focus()")
        chromium.press("Enter")
        assert message in chromium.run(said)
    assert chromium.run("window.copied") == command
    assert chromium.run("getSelection().toString()") == command
    assert chromium.run("document.activeElement.tagName") == "PRE"
    assert_quiet(chromium, site)


def test_hostile_texts_are_shown_as_they_are(site: Path, chromium: Browser) -> None:
    chromium.open(f"{site.as_uri()}#samples")
    shown = chromium.run("document.querySelector('#texts').textContent")
    assert all(text in shown for text in HOSTILE)
    assert chromium.run("document.title") == "Suite tiny"
    assert chromium.run("document.querySelectorAll('main script, main img, main iframe').length") == 0
    assert_quiet(chromium, site)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_scrolls_no_page_sideways_and_colours_can_be_read(site: Path, chromium: Browser, theme: str) -> None:
    chromium.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    chromium.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    for view in ("exact", "paper", "published"):
        chromium.open(f"{site.as_uri()}#overview&view={view}")
        assert chromium.run("document.documentElement.scrollWidth") <= 390
    paper = chromium.run("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.5) == (theme == "dark")
    chromium.open(f"{site.as_uri()}#samples&q=king")
    for selector, least in READ.items():
        for ink, behind in chromium.run(COLOURS.format(selector)):
            assert contrast(ink, behind) > least, (selector, ink, behind)
    chromium.send("Emulation.clearDeviceMetricsOverride")
    chromium.send("Emulation.setEmulatedMedia", features=[])


UNFIT = """(() => {
  const bad = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const at of all('table')) if (!at.ariaLabel) bad.push('a table without a name');
  for (const at of all('th')) if (!at.scope) bad.push('a head of nothing: ' + at.textContent);
  for (const at of all('input, select')) if (!at.labels.length) bad.push('no label: ' + at.id);
  for (const at of all('button, a')) if (!at.textContent.trim()) bad.push('no words: ' + at.outerHTML);
  for (const at of all('svg')) if (at.role !== 'img' || !at.querySelector('title, desc')) bad.push('a figure');
  for (const at of all('.scroll')) if (at.tabIndex !== 0 || !at.ariaLabel) bad.push('not to be scrolled by keys');
  const levels = all('h1, h2, h3, h4').map((at) => Number(at.tagName[1]));
  levels.forEach((level, i) => { if (level > (levels[i - 1] || 0) + 1) bad.push('a level left out at head ' + i); });
  const ids = all('[id]').map((at) => at.id);
  if (new Set(ids).size < ids.length) bad.push('an id twice');
  for (const at of all('[aria-labelledby], [aria-describedby]'))
    for (const name of ['aria-labelledby', 'aria-describedby'])
      if (at.hasAttribute(name) && !$(at.getAttribute(name))) bad.push('names nothing: ' + at.getAttribute(name));
  return bad;
})()"""


def test_names_heads_and_focus(site: Path, chromium: Browser) -> None:
    for view in ("exact", "paper", "published"):
        chromium.open(f"{site.as_uri()}#overview&view={view}")
        assert chromium.run(UNFIT) == []
    assert chromium.run("document.documentElement.lang") == "en"
    landmarks = "[...document.querySelectorAll('header, main, nav[aria-label]')].map((at) => at.tagName)"
    assert chromium.run(landmarks) == ["HEADER", "NAV", "MAIN", "NAV"]
    chromium.open(site.as_uri())
    stops = []
    for _ in range(12):  # the link to skip, the sections, the theme, then what is in the tables
        chromium.press("Tab")
        assert chromium.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        stops.append(chromium.run("document.activeElement.id || document.activeElement.textContent"))
    assert stops[:2] == ["Skip to the tables", "Tables"] and stops[7:10] == ["Notes", "theme", ""]
    assert not re.search(r"transition|animation|scroll-behavior", site.read_text(encoding="utf-8"))  # nothing moves


READ = {  # what is read -> the contrast it has at least: WCAG 2, level AAA of texts, AA of what is beside them
    "p, blockquote, td, #texts p": 4.5, "body > *, h2, #decoded": 7.0, "ins, mark": 4.5, "a, .printed, .spread": 4.5,
    ".caption, figcaption, small, tr.apart td, .near, dd": 4.5, "button, select, input": 4.5,
}  # fmt: skip
COLOURS = r"""(() => {{
  const behind = (at) => {{
    const found = getComputedStyle(at).backgroundColor;
    return /^rgba.*, 0\)$/.test(found) && at.parentElement ? behind(at.parentElement) : found;
  }};
  const seen = [...document.querySelectorAll('{}')].map((at) => getComputedStyle(at).color + '|' + behind(at));
  return [...new Set(seen)].map((pair) => pair.split('|'));
}})()"""


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def assert_quiet(chromium: Browser, site: Path) -> None:
    """No complaint on the console, and nothing asked for but the page."""
    assert chromium.errors == []
    assert {url.partition("#")[0] for url in chromium.requests} <= {site.as_uri(), "about:blank"}
    chromium.requests.clear()
