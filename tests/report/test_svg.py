"""Figures as elements of a page."""

from __future__ import annotations

from bench.report.svg import inline


def test_a_figure_is_named_and_its_ids_are_its_own() -> None:
    svg = (
        '<?xml version="1.0"?>\n<svg width="9">\n<metadata>m</metadata><defs><style>*{}</style></defs>'
        '<g id="a"/><use xlink:href="#a"/><path clip-path="url(#a)"/>'
        '<image xlink:href="data:image/png;base64,\nAA\nBB"/><text>0.1</text><text>x &lt;b&gt;</text>'
        r"<text>a\1 b</text>"
        "<text>rec\nloss</text><text>rec\nloss</text></svg>"
    )
    made = inline(svg, "p-", "DELLA", "Figure 2: <KL>")
    assert made == (
        '<svg role="img" aria-labelledby="p-title" aria-describedby="p-desc" width="9"><title id="p-title">'
        'Figure 2: &lt;KL&gt;</title><desc id="p-desc">DELLA Figure 2: &lt;KL&gt;. Its text: rec loss</desc> '
        '<defs></defs><g id="p-a"/><use xlink:href="#p-a"/><path clip-path="url(#p-a)"/>'
        '<image xlink:href="data:image/png;base64,AABB"/><text>0.1</text><text>x &lt;b&gt;</text><text>a\\1 b</text>'
        "<text>rec loss</text><text>rec loss</text></svg>"
    )
