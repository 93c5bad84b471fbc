"""Figures 6 and 7: the right layers, the memory's column, and tokens that are plain text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import suite as suites
from bench.cli import main
from bench.errors import BenchError
from bench.files import write_json
from bench.paths import CellPaths
from bench.report.della.attention import Block, draw, read_blocks
from bench.schema import Suite
from tests import fake_run

YAML = """
name: tiny
datasets: [bbe]
methods: {memory: , memory-1: {use: memory, backbone: {layers: 1}}}
seeds: [1, 2]
metrics: [elbo]
backbone: {layers: 3, width: 32, heads: 2}
reports:
  della/figure6: {datasets: [bbe], methods: [memory, memory-1]}
  della/figure7: {datasets: [bbe], methods: [memory]}
"""
TOKENS = ["<bos>", " $x$", "in\nternational", " a_b"]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(tmp_path)
    loaded = suites.load(fake_run.write_suite(tmp_path, YAML))
    for cell in suites.cells(loaded, "della/figure6"):
        layers = suites.backbone_of(loaded, cell.dataset, cell.method).layers
        path = CellPaths("tiny", cell.dataset, cell.method, cell.seed).attention
        write_json(path, attention(layers, cell.seed, prompt=cell.method == "memory-1"))
    return loaded


def attention(layers: int, seed: int, prompt: bool) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    n = len(TOKENS)
    seen = np.tril(np.ones((n, n + 1 + prompt)), 1 + prompt)
    maps = [{which: (rng.random(seen.shape) * seen).round(4).tolist() for which in ("average", "max", "min")}
            for _ in range(layers)]  # fmt: skip
    listed = [
        {"layer": i, "mean": [0.1, 0.3], "by_position": [[0.1] * n, [0.3] * n], "heads": {"max": 1, "min": 0},
         "maps": maps[i]} for i in range(layers)
    ]  # fmt: skip
    return {"seed": seed, "texts": 5, "example": 0, "tokens": TOKENS, "layers": listed, "uniform": 0.2,
            "uniform_by_position": [0.2] * n}  # fmt: skip


def test_each_figure_has_its_half_of_the_layers(suite: Suite) -> None:
    shown = {
        report: [[layer.layer for layer in block.layers] for block in read_blocks(suite, f"della/{report}")]
        for report in ("figure6", "figure7")
    }
    assert shown == {"figure6": [[0, 1], [0]], "figure7": [[2]]}
    block = read_blocks(suite, "della/figure6")[0]
    assert (block.title, block.attention.seed) == ("bbe · memory, seed 1", 1)
    layer = block.layers[0]
    assert [round(layer.on_memory(which), 3) for which in ("average", "max", "min")] == [0.2, 0.3, 0.1]


def test_a_half_without_layers_is_one_clear_error(suite: Suite) -> None:
    report = suites.select(suite, "della/figure6")
    empty = suite.model_copy(update={"reports": {"della/figure7": report}})
    with pytest.raises(BenchError, match="'memory-1' has no memory token in that half"):
        read_blocks(empty, "della/figure7")


def test_maps_stand_under_the_strip_and_blank_what_is_not_seen(suite: Suite) -> None:
    from matplotlib import pyplot

    blocks: list[Block] = read_blocks(suite, "della/figure6")
    figure = draw(blocks)
    images = [axes for axes in figure.axes if axes.get_images()]
    assert len(images) == 3 * (2 + 1)
    assert [axes.get_title() for axes in images[:3]] == [
        "layer 0, average: 0.200", "layer 0, head 1 (max): 0.300", "layer 0, head 0 (min): 0.100"
    ]  # fmt: skip
    values = images[0].get_images()[0].get_array()
    assert values.mask.tolist() == (np.triu(np.ones((4, 5)), 2) > 0).tolist()
    bottom = images[3]
    assert [t.get_text() for t in bottom.get_xticklabels()] == ["z", "<bos>", "␣$x$", "in?terna…", "␣a_b"]
    assert [t.get_text() for t in images[6].get_xticklabels()][:2] == ["z", "c"]  # read after a prompt
    assert not images[0].get_xticklabels() and not images[1].get_yticklabels()
    strips = [axes for axes in figure.axes if axes.get_ylabel() == "weight on z"]
    assert [axes.get_title(loc="left") for axes in strips] == ["bbe · memory, seed 1", "bbe · memory-1, seed 1"]
    assert len({axes.get_ylim() for axes in strips}) == 1 and strips[0].get_ylim()[0] == 0
    pyplot.close(figure)


def test_files_are_the_same_every_time(suite: Suite) -> None:
    for name in ("a.png", "b.png"):
        assert main(["report", "--suite", "tiny.yaml", "--report", "della/figure6", "--out", name]) == 0
    for form in ("png", "svg"):
        assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()
