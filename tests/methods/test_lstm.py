"""The LSTM backbone and the LSTM-VAE, against torch.nn.LSTMCell step by step; sizes in closed form, starting points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import model as models
from bench import objectives
from bench.backbones.attending import Attended
from bench.backbones.base import NOTHING, Injection
from bench.backbones.lstm import LSTM, Dropout, LSTMEncoder
from bench.batch import Batch, collate
from bench.errors import BenchError
from bench.methods.base import Method
from bench.schema import Backbone, MethodSpec

from .conftest import known_options, perturb

WIDTH, EMBEDDING, VOCABULARY, LATENT = 7, 5, 260, 3
SIZE = Backbone(kind="lstm", layers=1, width=WIDTH, embedding=EMBEDDING, vocabulary=VOCABULARY, max_tokens=12)
BATCH = collate([[0, 10, 11, 12, 1], [0, 20, 21, 1], [0, 1]])
PTB = Backbone(kind="lstm", layers=1, width=256, embedding=256, tokenizer="words", vocabulary=9877, max_tokens=90)


def build(name: str, size: Backbone = SIZE, seed: int = 0, **options: object) -> Method:
    torch.set_num_threads(1)
    return models.build(MethodSpec(use=name, options=options), size, seed)


def moved(name: str, **options: object) -> Method:
    method = build(name, **options)
    perturb(method)
    return method.eval()


def decoder(inputs: int = 0, dropout: float = 0.0) -> LSTM:
    torch.manual_seed(0)
    made = LSTM(WIDTH, EMBEDDING, VOCABULARY, 12, dropout)
    if inputs:
        made.widen(inputs)
    perturb(made)
    return made.eval()


def cell_of(lstm: nn.LSTM) -> nn.LSTMCell:
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in lstm.state_dict().items()})
    return cell


def plainly(model: LSTM, ids: Tensor, cell: Tensor | None, beside: Callable[[Tensor], Tensor] | None) -> Tensor:
    """One sequence and one step at a time: h_0 = tanh(c_0), and [x_t; what is beside it] is read."""
    step, rows = cell_of(model.lstm), []
    for row, sequence in enumerate(ids):
        c = torch.zeros(WIDTH) if cell is None else cell[row]
        h, states = torch.tanh(c), []
        for word in sequence:
            x = model.words.weight[word]
            if beside is not None:
                x = torch.cat([x, beside(h.expand(len(ids), -1))[row]])
            h, c = (part[0] for part in step(x[None], (h[None], c[None])))
            states.append(h)
        rows.append(torch.stack(states))
    return torch.stack(rows)


# The decoder ------------------------------------------------------------------------------------------------------

Z = torch.randn(3, 1, LATENT, generator=torch.Generator().manual_seed(3))
CELL = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(4))
DRAW = torch.Generator().manual_seed(5)
SEQUENCES = Attended(
    keys=torch.randn(3, 4, WIDTH, generator=DRAW),
    z=torch.randn(3, 4, LATENT, generator=DRAW),
    present=torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [True] * 3 + [False]]),
    w_d=torch.randn(WIDTH, WIDTH, generator=DRAW),
    v=torch.randn(WIDTH, generator=DRAW),
)


def attended(state: Tensor) -> Tensor:
    """c_i [N, D] of h_{i-1} [N, d]: DAVAM Eq. 3."""
    scores = torch.tanh(SEQUENCES.keys + (state @ SEQUENCES.w_d.T)[:, None]) @ SEQUENCES.v
    alpha = scores.masked_fill(~SEQUENCES.present, float("-inf")).softmax(-1)
    return (alpha[..., None] * SEQUENCES.z).sum(1)


PLACES: dict[str, tuple[int, Injection, Tensor | None, Callable[[Tensor], Tensor] | None]] = {
    "nothing": (0, NOTHING, None, None),
    "inputs": (LATENT, Injection(inputs=Z), None, lambda state: Z[:, 0]),
    "cell": (0, Injection(cell=CELL), CELL, None),
    "inputs and cell": (LATENT, Injection(inputs=Z, cell=CELL), CELL, lambda state: Z[:, 0]),
    "attend": (LATENT, Injection(attend=SEQUENCES), None, attended),
}


@pytest.mark.parametrize("place", PLACES)
def test_decoder_step_by_step(place: str) -> None:
    inputs, injection, cell, beside = PLACES[place]
    model = decoder(inputs)
    with torch.no_grad():
        expected = plainly(model, BATCH.inputs, cell, beside)
        torch.testing.assert_close(model.decode(BATCH.inputs, injection), expected)
        cache, pieces = model.cache(), []
        for ids in BATCH.inputs.split([1, 2, 1], 1):
            pieces.append(model.decode(ids, injection, cache=cache))
        torch.testing.assert_close(torch.cat(pieces, 1), expected)
        assert cache.positions == BATCH.inputs.shape[1]


def test_a_cache_follows_its_sequences() -> None:
    model, order = decoder(), torch.tensor([2, 0, 0])
    with torch.no_grad():
        whole = model.decode(BATCH.inputs[order])
        cache = model.cache()
        model.decode(BATCH.inputs[:, :2], cache=cache)
        cache.select(order)
        torch.testing.assert_close(model.decode(BATCH.inputs[order][:, 2:], cache=cache), whole[:, 2:])


def test_hidden_is_added_last() -> None:
    model, shift = decoder(), torch.randn(3, 1, WIDTH)
    with torch.no_grad():
        found = model.decode(BATCH.inputs, Injection(hidden=shift))
        torch.testing.assert_close(found, model.decode(BATCH.inputs) + shift)


def test_encoder_step_by_step() -> None:
    """Of ``BOS x EOS`` and from zeros; it has no dropout, and words of its own."""
    model = decoder(dropout=0.9)
    encoder = LSTMEncoder(model).train()
    perturb(encoder, seed=2)
    with torch.no_grad():
        states, step = encoder(BATCH), cell_of(encoder.lstm)
        for row, sequence in enumerate(BATCH.ids):
            h = c = torch.zeros(1, WIDTH)
            for t, word in enumerate(sequence[: BATCH.lengths[row]]):
                h, c = step(encoder.words.weight[word][None], (h, c))
                torch.testing.assert_close(states[row, t], h[0])


def test_dropout_is_on_what_the_decoder_reads_and_says() -> None:
    """With its rate, of the words and not of the z beside them, nor of the state that goes on; never in evaluation."""
    model = decoder(LATENT, dropout=0.5).train()
    read: list[Tensor] = []
    forward = nn.LSTM.forward
    model.lstm.forward = lambda x, state: (read.append(x), forward(model.lstm, x, state))[1]  # type: ignore[method-assign]
    ids = torch.arange(4, 254)[None].repeat(8, 1)
    z = torch.full((8, 1, LATENT), 7.0)
    torch.manual_seed(0)
    with torch.no_grad():
        said = model.decode(ids, Injection(inputs=z))
        (x,) = read
        words, dropped = x[..., :EMBEDDING], x[..., :EMBEDDING] == 0
        assert 0.45 < dropped.float().mean() < 0.55
        torch.testing.assert_close(words[~dropped], 2 * model.words(ids)[~dropped])
        assert (x[..., EMBEDDING:] == 7).all()
        without = forward(model.lstm, x)[0]
        silent = said == 0
        assert 0.45 < silent.float().mean() < 0.55
        torch.testing.assert_close(said[~silent], 2 * without[~silent])
        model.eval()
        assert torch.equal(model.decode(ids, Injection(inputs=z)), model.decode(ids, Injection(inputs=z)))


def test_dropout_beside_attention() -> None:
    """The state that attention sees, and that goes on, is whole."""
    model = decoder(LATENT, dropout=0.5).train()
    given: list[Tensor] = []
    drop = model.dropout.forward
    model.dropout.forward = lambda x: (given.append(x), drop(x).clone())[1]  # type: ignore[method-assign]
    torch.manual_seed(0)
    with torch.no_grad():
        said = model.decode(BATCH.inputs, Injection(attend=SEQUENCES))
        torch.manual_seed(0)
        words, whole = drop(given[0]), given[1]
        kept = said != 0
        assert 0.2 < kept.float().mean() < 0.8
        torch.testing.assert_close(said[kept], 2 * whole[kept])
        cell, h = cell_of(model.lstm), torch.zeros(3, WIDTH)
        c = h
        for t in range(words.shape[1]):
            h, c = cell(torch.cat([words[:, t], attended(h)], -1), (h, c))
            torch.testing.assert_close(whole[:, t], h)


def test_it_reads_no_condition() -> None:
    with pytest.raises(BenchError, match="reads no condition"):
        models.build(MethodSpec(use="lstm-lm"), SIZE, 0, conditional=True)
    with pytest.raises(BenchError, match="reads no condition"):
        decoder().context(BATCH)
    with pytest.raises(BenchError, match="encoder of their own"):
        decoder().encode(BATCH.ids, BATCH.mask)
    with pytest.raises(ValueError, match="an LSTM has one layer, not 2"):
        Backbone(kind="lstm", layers=2)


# Sizes and starting points ----------------------------------------------------------------------------------------


def lstm_size(inputs: int, width: int) -> int:
    """Four gates, each with weights of the input and of the state and two biases."""
    return 4 * width * (inputs + width + 2)


def count(method: nn.Module) -> int:
    return sum(parameter.numel() for parameter in method.parameters())


def test_parameters_at_the_size_of_ptb() -> None:
    """An LSTM-LM of 256/256 over V words: V E + 4 H (E + H + 2) + H V; the VAE adds an encoder, z and two maps."""
    v, e, h, d = PTB.vocabulary, 256, 256, 32
    assert count(build("lstm-lm", PTB)) == v * e + lstm_size(e, h) + h * v == 5_583_360
    encoder, maps = v * e + lstm_size(e, h), h * 2 * d + d * h
    vae = build("lstm-vae", PTB)
    assert count(vae) == v * e + lstm_size(e + d, h) + h * v + encoder + maps
    assert count(vae.encoder) == encoder and vae.options.latent == 32
    assert {name for name, _ in vae.named_children()} == {"backbone", "encoder", "to_latent", "to_cell"}
    assert all(layer.bias is None for layer in (vae.to_latent, vae.to_cell, vae.backbone.output))


def test_words_are_as_wide_as_states_unless_said() -> None:
    wide = build("lstm-lm", SIZE.model_copy(update={"embedding": None})).backbone
    assert wide.words.weight.shape == (VOCABULARY, WIDTH)
    assert build("lstm-lm").backbone.words.weight.shape == (VOCABULARY, EMBEDDING)


@pytest.mark.parametrize("name", ["lstm-lm", "lstm-vae"])
def test_baselines_start_as_the_public_code_does(name: str) -> None:
    """Embeddings uniform within 0.1, all else within 0.01, biases too; deviation a / sqrt(3)."""
    size = SIZE.model_copy(update={"width": 64, "embedding": 64})
    for where, parameter in build(name, size).named_parameters():
        limit = 0.1 if ".words." in where else 0.01
        assert parameter.abs().max() <= limit, where
        assert parameter.std().item() == pytest.approx(limit / 3**0.5, rel=0.2), where
        assert parameter.mean().abs() < 0.15 * limit, where


@pytest.mark.parametrize("name", ["vae-attn", "gavam", "davam-k128", "davam-q"])
def test_latent_sequences_start_from_larger_lstms(name: str) -> None:
    """Within 1 / sqrt(H), torch's own; words as ever."""
    small = known_options(name, {"prior_layers": 1, "prior_width": 4})
    method = build(name, SIZE.model_copy(update={"width": 64, "embedding": 64}), **small)
    for part in (method.encoder, method.backbone):
        for parameter in part.lstm.parameters():
            assert 0.8 / 8 < parameter.abs().max() <= 1 / 8
        assert part.words.weight.abs().max() <= 0.1


# LSTM-VAE ---------------------------------------------------------------------------------------------------------


def test_posterior_is_of_the_last_state() -> None:
    """[mu; log sigma^2] = W h_T, h_T after EOS."""
    method = moved("lstm-vae", latent=LATENT)
    with torch.no_grad():
        posterior = method.posterior(BATCH)
        for row in range(3):
            alone = method.encoder(Batch(BATCH.ids[row : row + 1, : BATCH.lengths[row]], BATCH.lengths[row : row + 1]))
            both = method.to_latent.weight @ alone[0, -1]
            torch.testing.assert_close(posterior.mean[row, 0], both[:LATENT])
            torch.testing.assert_close(posterior.logvar[row, 0], both[LATENT:])


def test_z_is_beside_every_word_and_in_the_first_cell() -> None:
    """Against the plain pass; and either place alone says something of z."""
    method = moved("lstm-vae", latent=LATENT)
    with torch.no_grad():
        cell = Z[:, 0] @ method.to_cell.weight.T
        expected = plainly(method.backbone, BATCH.inputs, cell, lambda state: Z[:, 0])
        log_p = (expected @ method.backbone.output.weight.T).log_softmax(-1)
        for row, length in enumerate(BATCH.predicted.tolist()):
            total = sum(log_p[row, t, BATCH.targets[row, t]] for t in range(length))
            torch.testing.assert_close(method.log_likelihood(BATCH, Z)[row], total)
        whole = method.log_likelihood(BATCH, Z)
        inject = type(method).inject
        for place in ("inputs", "cell"):
            injection = inject(method, Z)
            other = getattr(inject(method, Z + 1), place)
            changed = Injection(**{**{"inputs": injection.inputs, "cell": injection.cell}, place: other})
            method.inject = lambda z, changed=changed: changed  # type: ignore[method-assign]
            assert ((method.log_likelihood(BATCH, Z) - whole).abs() > 1e-5).all(), place


def test_free_bits_are_a_mask_of_each_dimension_and_text() -> None:
    """A target of 8 nats over 32 dimensions: 0.25 each; those below it have no gradient from the KL."""
    method = moved("lstm-vae+fbp", latent=32)
    assert method.options.free_bits * 32 == 8 and method.options.kl_reduction == "sum"
    with torch.no_grad():
        method.to_latent.weight *= 30
    torch.manual_seed(0)
    terms = method.terms(BATCH)
    kept = [[float(kl) for kl in dims[0] if kl > 0.25] for dims in terms.kl_dims.detach()]
    assert 0 < sum(map(len, kept)) < 96
    expected = sum(float(rec) + 0.5 * sum(of_text) for rec, of_text in zip(terms.rec.detach(), kept, strict=True)) / 3
    found = objectives.loss(terms, 0.5, method.options.kl_reduction, method.options.free_bits)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_variants_are_what_table_2_compares() -> None:
    expected = {
        "lstm-vae": ("constant", 0.0, False, False), "lstm-vae+anneal": ("linear", 0.0, False, False),
        "lstm-vae+cyclic": ("half_cycles", 0.0, False, False), "lstm-vae+aggressive": ("linear", 0.0, True, False),
        "lstm-vae+fbp": ("linear", 0.25, False, False),
        "lstm-vae+pretraining+fbp": ("linear", 0.25, False, True),
    }  # fmt: skip
    for name, (annealing, free_bits, aggressive, pretraining) in expected.items():
        method = build(name)
        options = method.options
        assert (options.annealing, options.free_bits) == (annealing, free_bits)
        assert (options.aggressive, options.pretraining) == (aggressive, pretraining)
        stages = method.stages()
        assert len(stages) == 1 + pretraining and bool(stages[0].ahead) == aggressive
        assert not any(stage.adaptive for stage in stages)


def test_one_way_to_train_and_no_other() -> None:
    with pytest.raises(BenchError, match="options ask for aggressive and for pretraining"):
        build("lstm-vae", aggressive=True, pretraining=True)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_is_zeros_and_what_makes_up_for_them(p: float) -> None:
    """As torch.nn.Dropout's: each number apart, 0 with probability p, or else by 1 / (1 - p), and so its gradient."""
    torch.manual_seed(0)
    read = torch.full((200, 500), 3.0, requires_grad=True)
    dropped = Dropout(p).train()(read)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], torch.full((int(kept.sum()),), 3 / (1 - p)))
    deviation = (p * (1 - p) / read.numel()) ** 0.5
    assert abs(1 - kept.double().mean() - p) < 4 * deviation
    for dim, others in ((0, 200), (1, 500)):  # rows and columns are no wholes
        assert (kept.double().mean(dim) - (1 - p)).abs().max() < 6 * (p * (1 - p) / others) ** 0.5
    dropped.sum().backward()
    torch.testing.assert_close(read.grad, kept / (1 - p))
    assert Dropout(p).eval()(read).equal(read)
    assert Dropout(0.0).train()(read).equal(read)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"embedding": torch.zeros(3, 1, EMBEDDING)}, "no place 'embedding' for z"),
        ({"memory": [torch.zeros(3, 1, 2)]}, "no place 'memory' for z"),
        ({"value": [lambda v: v]}, "no place 'value' for z"),
        ({"positions": torch.zeros(3, 4, EMBEDDING)}, "no place 'positions' for z"),
        ({"inputs": torch.zeros(3, 1, 2), "attend": object()}, "either 'inputs' or 'attend'"),
    ],
)
def test_z_where_an_lstm_reads_none_is_an_error(where: dict[str, Any], message: str) -> None:
    """It would be a model that looks collapsed."""
    with pytest.raises(BenchError, match=message):
        decoder(2).decode(BATCH.inputs, Injection(**where))
