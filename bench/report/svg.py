"""A figure of matplotlib as an element of a page."""

from __future__ import annotations

import re

from markupsafe import Markup


def inline(svg: str, prefix: str, of: str, title: str) -> Markup:
    """A figure of matplotlib as part of a page, named for screen readers; a prefix tells its ids apart.

    Its prolog, metadata and style are left out.
    """
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    said = Markup('<title id="{0}title">{1}</title><desc id="{0}desc">{2}</desc>').format(
        prefix, title, f"{of} {title}. Its text: {'; '.join(labels(svg))}".strip()
    )
    named = f'<svg role="img" aria-labelledby="{prefix}title" aria-describedby="{prefix}desc"'
    start, _, rest = svg.removeprefix("<svg").partition(">")
    rest = re.sub(r'href="data:[^"]*"', lambda found: "".join(found[0].split()), rest)
    return Markup(f"{named}{start}>{said}" + re.sub(r"\s*\n\s*", " ", rest))


def labels(svg: str) -> list[str]:
    """The words of a figure, each once, without the numbers at its ticks."""
    found = (re.sub(r"<[^>]*>", "", text) for text in re.findall(r"<text\b.*?</text>", svg, flags=re.DOTALL))
    words = (Markup(" ".join(text.split())).unescape() for text in found)
    return [text for text in dict.fromkeys(words) if re.search(r"[^\W\d]{2}", text)]
