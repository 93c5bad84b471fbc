"""``samples.jsonl``: texts drawn once from a trained cell by each decoding; text metrics read only these.

Of an unconditional dataset the texts come from the prior alone; of a conditional one there is a text for each of the
first sources of the test set, from p(z|c).
"""

from __future__ import annotations

import torch

from bench import device as devices
from bench import model as models
from bench.cost import measured
from bench.data.prepare import read_split
from bench.data.sequences import read_sequences
from bench.methods.base import Condition, Method
from bench.paths import CellPaths
from bench.progress import progress
from bench.samples import write_samples
from bench.schema import Decoding, Suite
from bench.suite import Cell, backbone_of, check_words, generation_of
from bench.vocabulary import decode, load_tokenizer

BATCH = 256  # sequences decoded together on a CPU: a seed's samples are those of batches of this size
POSITIONS = 1 << 17  # that a batch holds on a GPU at most; GPT-2 small's keys and values of so many take 10 to 20 GB


@torch.inference_mode()
def generate(suite: Suite, cell: Cell, device: str = "cpu") -> None:
    """Draw z from the prior and a text from each z, by the decoding of the cell."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed, cell.decoding)
    target = devices.select(device, suite.training.threads)
    method = models.load(paths.model).to(target)
    tokenizer = load_tokenizer(paths.model / "tokenizer.json")
    backbone = backbone_of(suite, cell.dataset, cell.method)
    plan = generation_of(suite, cell.dataset, cell.decoding)
    check_words(suite, cell.dataset, plan.decoding)
    sequences = (
        read_sequences(paths.data, "test", backbone).first(plan.samples) if method.backbone.conditional else None
    )
    sources = read_split(paths.data, "test").sources
    wanted = plan.samples if sequences is None else len(sequences)
    texts: list[str] = []
    with measured(paths.cost("generate")) as meter:
        meter.device = devices.describe(target)
        torch.manual_seed(cell.seed)
        size = together(target, backbone.max_tokens + (backbone.max_source_tokens if sequences is not None else 0))
        starts = range(0, wanted, size)
        for start in progress(starts, len(starts), "generate"):
            rows = range(start, min(start + size, wanted))
            condition = None if sequences is None else method.condition(sequences.batch(rows).to(target))
            ids = draw(method, len(rows), plan.decoding, backbone.max_tokens, condition)
            meter.tokens += sum(map(len, ids))
            texts += decode(tokenizer, ids)
    write_samples(paths.samples, texts, plan.decoding.signature, cell.seed, sources)


def together(device: torch.device, positions: int) -> int:
    """How many sequences of so many positions are decoded at once; on a GPU a step costs a large batch little more."""
    return BATCH if device.type == "cpu" else max(1, POSITIONS // positions)


def draw(
    method: Method, n: int, decoding: Decoding, max_tokens: int, condition: Condition | None = None
) -> list[list[int]]:
    """n token lists, as :meth:`Method.decode` gives them, from n draws of the prior, by torch's global seed."""
    z = method.sample_prior(n, condition) if decoding.words is None else method.sample_prior_for(n, decoding.words)
    return method.decode(z, decoding, max_tokens, condition)
