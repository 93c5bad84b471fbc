"""Where everything of a run lives, relative to the repository root. One place, read by the DAG and by the verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUNS = Path("results/runs")
FROZEN = Path("results/frozen")
RENDERED = Path("reports")
PUBLISHED = Path("results/published")
SUITE = "workflow/config/embedded.yaml"  # where none is named
DECODING = "decoding-"  # how the folder of a named decoding begins


def releases(root: Path = Path()) -> list[str]:
    """The names of all frozen releases; hidden folders are what a kill left of one."""
    return [manifest.parent.name for manifest in (root / FROZEN).glob("[!.]*/manifest.json")]


@dataclass(frozen=True)
class CellPaths:
    """The files of one cell: ``results/runs/<suite>/<dataset>/<method>/seed<k>/``. All may hold Snakemake wildcards.

    Texts of a named decoding, and what is computed from them, lie in ``decoding-<name>/`` of it: the rest is shared.
    """

    suite: str
    dataset: str
    method: str
    seed: int | str
    decoding: str = ""  # "": the dataset's own

    @property
    def data(self) -> Path:
        """The prepared dataset, shared by the cells of a suite: train.txt, valid.txt, test.txt, tokenizer, manifest."""
        return RUNS / self.suite / self.dataset / "data"

    @property
    def manifest(self) -> Path:
        """The small file that stands for the data in the DAG (it holds the checksums of the rest)."""
        return self.data / "manifest.json"

    def pretrained(self, name: str) -> Path:
        """A pretrained model as backbones take it, shared by the cells of a suite; its manifest stands for it."""
        return RUNS / self.suite / "pretrained" / name

    @property
    def root(self) -> Path:
        """The directory of what is trained, and of everything else under the dataset's own decoding."""
        return RUNS / self.suite / self.dataset / self.method / f"seed{self.seed}"

    @property
    def drawn(self) -> Path:
        """The directory of the texts of one decoding, their scores and their record."""
        return self.root / f"{DECODING}{self.decoding}" if self.decoding else self.root

    @property
    def model(self) -> Path:
        """Trained weights, a directory."""
        return self.root / "model"

    @property
    def history(self) -> Path:
        """Training terms by step."""
        return self.root / "history.csv"

    @property
    def resume(self) -> Path:
        """Training state of an unfinished run; undeclared in the DAG, so that it survives a kill."""
        return self.root / ".resume"

    @property
    def likelihood(self) -> Path:
        """Per-example sufficient statistics."""
        return self.root / "likelihood.npz"

    @property
    def samples(self) -> Path:
        """Generated texts."""
        return self.drawn / "samples.jsonl"

    def scores(self, family: str) -> Path:
        """Values of one metric family."""
        return self.drawn / "scores" / f"{family}.json"

    @property
    def attention(self) -> Path:
        """How much each head attends to the memory position."""
        return self.root / "attention.json"

    @property
    def interpolation(self) -> Path:
        """Texts decoded between pairs of posterior samples."""
        return self.root / "interpolation.json"

    def augmented(self, part: str) -> Path:
        """What generated texts are worth to a language model, of one size and factor: ``augment/1000x0.5.json``."""
        return self.root / "augment" / f"{part}.json"

    @property
    def record(self) -> Path:
        """The cell's whole result."""
        return self.drawn / "record.json"

    def cost(self, stage: str) -> Path:
        """Wall time, peak memory and speed of one stage; measured, so never part of a record's values."""
        return (self.drawn if stage == "generate" else self.root) / "cost" / f"{stage}.json"
