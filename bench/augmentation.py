"""``augment/<n>x<factor>.json``: what generated texts are worth to a language model (DAVAM, Sec. IV-C, Figure 3).

A language model is trained on the first n texts of the training set and on factor * n texts that a trained cell
generates from its prior, by the training plan of the suite and with its validation set, and measured on the test set:

    PPL = exp( sum_i -log p(x_i) / sum_i (words_i + 1) )

which is exact, as there is no latent variable. The generated texts of a larger factor begin with those of a smaller
one, and a factor of 0 is the language model alone. The cell itself was trained on the whole training set: what its
texts add to the n is what it has seen of the rest. Where the plan ends after a number of epochs, and not for want of a
better validation bound, more texts are also more steps.
"""

from __future__ import annotations

import shutil

import numpy as np
import torch

from bench import device as devices
from bench import model as models
from bench import registry
from bench.batch import Sequences
from bench.checkpoint import Checkpoint
from bench.cost import measured
from bench.data.sequences import read_sequences, words_kept
from bench.errors import BenchError
from bench.files import sha256, write_json
from bench.generation import BATCH, draw
from bench.likelihood import statistics
from bench.methods.base import Method
from bench.metrics.base import signature
from bench.metrics.bootstrap import DEFAULTS, Bootstrap
from bench.metrics.likelihood_values import measured_perplexity
from bench.paths import CellPaths
from bench.progress import progress
from bench.schema import Decoding, Likelihood, Suite
from bench.suite import Cell, augmented_parts, backbone_of, spec_of, training_of
from bench.training import fit
from bench.vocabulary import BOS, EOS, PAD

VERSION = 1


def augment(suite: Suite, cell: Cell, part: str, key: str, device: str = "cpu") -> None:
    """Train and measure one language model; ``key`` names what a checkpoint must agree on."""
    paths, plan = CellPaths(suite.name, cell.dataset, cell.method, cell.seed), suite.augmentation
    size, factor = augmented_parts(suite)[part]
    if registry.dataset(cell.dataset).conditional:
        raise BenchError(f"augmentation: the texts of '{cell.dataset}' depend on sources, and none would be given")
    schedule = training_of(suite, cell.dataset, plan.model)
    target = devices.select(device, schedule.threads)
    backbone = backbone_of(suite, cell.dataset, plan.model)
    train, valid, test = (read_sequences(paths.data, name, backbone) for name in ("train", "valid", "test"))
    if size > len(train):
        raise BenchError(f"augmentation: {size} texts of '{cell.dataset}' are asked for, and there are {len(train)}")
    backbone, start = models.resolve(backbone, paths)
    model = models.build(spec_of(suite, plan.model), backbone, cell.seed, start=start).to(target)
    if model.groups:
        raise BenchError(f"augmentation: model '{plan.model}' has latent variables: its perplexity would be a bound")
    wanted = round(factor * size)
    generator = models.load(paths.model).to(target)
    drawn = generated(generator, wanted, plan.decoding, backbone.max_tokens, cell.seed)
    resume = paths.augmented(part).with_name(f".resume-{part}")
    with measured(paths.cost(f"augment-{part}")) as meter:
        meter.device = devices.describe(target)
        texts = Sequences([*train.first(size).texts, *drawn])
        fit(model, texts, valid, schedule, cell.seed, Checkpoint(resume, key), meter)
    one_weight = Likelihood(importance_samples=1, importance_examples=1, posterior_samples=1)
    nll = statistics(model.eval(), test, one_weight, cell.seed, target).rec
    words = words_kept(paths.data, "test", backbone).astype(np.float64) + 1
    ppl = measured_perplexity(nll, words, Bootstrap.of("augmentation", DEFAULTS))
    write_json(paths.augmented(part), {
        "model": plan.model, "size": size, "factor": factor, "generated": wanted,
        "decoding": plan.decoding.signature, "seed": cell.seed, "data": sha256(paths.manifest),
        "trained_on": len(train), "n": len(nll), "ppl_word": ppl.value, "ci95": ppl.ci95,
        "signature": signature("ppl", VERSION, protocol="exact", per="word", tokens="words_read+eos", N=len(nll)),
    })  # fmt: skip
    shutil.rmtree(resume, ignore_errors=True)


@torch.inference_mode()
def generated(method: Method, n: int, decoding: Decoding, max_tokens: int, seed: int) -> list[list[int]]:
    """n texts from the prior, as ``BOS x EOS``; by ``seed`` alone, the first of them whatever n is."""
    torch.manual_seed(seed)
    texts: list[list[int]] = []
    starts = range(0, n, BATCH)
    for _ in progress(starts, len(starts), "generate"):
        for ids in draw(method, BATCH, decoding, max_tokens):
            inner = [token for token in ids if token not in (BOS, EOS, PAD)]
            texts.append([BOS, *inner[: max_tokens - 2], EOS])
    return texts[:n]
