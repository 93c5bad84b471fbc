"""``interpolation.json``: texts decoded between the posterior samples of two test texts (DELLA Sec. 5.9, A.6, Fig. 3).

z = tau z1 + (1 - tau) z2 in every latent group, with z1 ~ q(z|x1) and z2 ~ q(z|x2): tau = 1 is x1 and tau = 0 is x2. A
segment that one of the texts does not have is drawn from the prior between them.
Decoding is greedy, whatever the dataset's own is, so that z alone makes a text differ from the next.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench import device as devices
from bench import model as models
from bench import registry
from bench.batch import Sequences
from bench.data.prepare import read_split
from bench.data.sequences import read_sequences
from bench.errors import BenchError
from bench.files import write_json
from bench.methods.base import Method
from bench.methods.gaussian import groups_present, mark_absent
from bench.paths import CellPaths
from bench.schema import Decoding, Suite
from bench.suite import Cell, backbone_of
from bench.vocabulary import decode, load_tokenizer

PAIRS = 4  # of the first test texts: 1 with 2, 3 with 4, ...
TAUS = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0)
DECODING = Decoding(strategy="greedy")


def interpolate(suite: Suite, cell: Cell, device: str = "cpu") -> None:
    """Write ``interpolation.json`` of one cell."""
    paths = CellPaths(suite.name, cell.dataset, cell.method, cell.seed)
    if registry.dataset(cell.dataset).conditional:
        raise BenchError(f"interpolation: the texts of '{cell.dataset}' depend on sources, and a pair has two of them")
    target = devices.select(device, suite.training.threads)
    method = models.load(paths.model).to(target)
    if not method.groups:
        raise BenchError(f"interpolation: method '{cell.method}' has no latent variable")
    texts, backbone = read_split(paths.data, "test").texts, backbone_of(suite, cell.dataset, cell.method)
    if len(texts) < 2:
        raise BenchError(f"interpolation: '{cell.dataset}' has one test text, and a pair is two")
    sequences = read_sequences(paths.data, "test", backbone)
    if method.length_nll(sequences.batch([0]).to(target)) is not None:
        raise BenchError(f"interpolation: the sequences of '{cell.method}' differ in length: nothing lies between two")
    torch.manual_seed(cell.seed)
    ids = between(method, sequences, backbone.max_tokens, target)
    tokenizer = load_tokenizer(paths.model / "tokenizer.json")
    pairs: list[dict[str, Any]] = [
        {"texts": texts[2 * i : 2 * i + 2], "decoded": decode(tokenizer, decoded)} for i, decoded in enumerate(ids)
    ]
    write_json(
        paths.interpolation, {"decoding": DECODING.signature, "seed": cell.seed, "taus": list(TAUS), "pairs": pairs}
    )


@torch.inference_mode()
def between(
    method: Method, sequences: Sequences, max_tokens: int, device: torch.device | str = "cpu"
) -> list[list[list[int]]]:
    """The decoded ids of every pair at each tau, by torch's global seed: pairs × taus × ids."""
    pairs = min(PAIRS, len(sequences) // 2)
    batch = sequences.batch(range(2 * pairs)).to(device)
    z = method.posterior(batch).sample(1)[0]  # [2 * pairs, G, D]
    z = mark_absent(z, groups_present(method.used(batch), z.shape[1]))  # and so between two, where one has none
    mixed = mix(z[0::2], z[1::2])
    ids = method.decode(mixed.flatten(0, 1), DECODING, max_tokens)
    return [ids[i * len(TAUS) : (i + 1) * len(TAUS)] for i in range(pairs)]


def mix(z1: Tensor, z2: Tensor) -> Tensor:
    """tau z1 + (1 - tau) z2 at every tau; z1, z2 [N, G, D] -> [N, taus, G, D]."""
    tau = torch.tensor(TAUS, device=z1.device, dtype=z1.dtype)[:, None, None]
    mixed = tau * z1[:, None] + (1 - tau) * z2[:, None]
    return torch.where(tau == 1, z1[:, None], torch.where(tau == 0, z2[:, None], mixed))  # 0 * nan is nan
