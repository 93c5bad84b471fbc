"""The attending LSTM against torch.nn.LSTMCell and DAVAM's Eq. 3 a step at a time, its gradients against autograd's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.backbones.attending import Attended, attending_lstm

N, T, S, WORDS, LATENT, WIDTH = 3, 5, 4, 6, 2, 7
SHAPES = {
    "read": (N, T, WORDS), "h": (N, WIDTH), "c": (N, WIDTH), "keys": (N, S, WIDTH), "z": (N, S, LATENT),
    "w_d": (WIDTH, WIDTH), "v": (WIDTH,), "w_ih": (4 * WIDTH, WORDS + LATENT), "w_hh": (4 * WIDTH, WIDTH),
    "b_ih": (4 * WIDTH,), "b_hh": (4 * WIDTH,),
}  # fmt: skip
PRESENT = torch.arange(S) < torch.tensor([4, 2, 3])[:, None]
Given = dict[str, Tensor]


def given(seed: int = 0) -> Given:
    torch.manual_seed(seed)
    return {name: torch.randn(shape, dtype=torch.float64).mul(0.5).requires_grad_() for name, shape in SHAPES.items()}


def ours(of: Given) -> tuple[Tensor, Tensor, Tensor]:
    to = Attended(of["keys"], of["z"], PRESENT, of["w_d"], of["v"])
    weights = (of["w_ih"], of["w_hh"], of["b_ih"], of["b_hh"])
    hidden, (h, c) = attending_lstm(of["read"], (of["h"], of["c"]), to, weights)
    return hidden, h, c


def attend(of: Given, state: Tensor) -> Tensor:
    """Eq. 3, one sequence and one step at a time."""
    contexts = []
    for n, steps in enumerate(PRESENT.sum(1)):
        scores = [of["v"] @ torch.tanh(of["keys"][n, t] + of["w_d"] @ state[n]) for t in range(steps)]
        alpha = torch.stack(scores).softmax(0)
        contexts.append(sum(alpha[t] * of["z"][n, t] for t in range(steps)))
    return torch.stack(contexts)  # type: ignore[arg-type]


def plainly(of: Given) -> tuple[Tensor, Tensor, Tensor]:
    cell = nn.LSTMCell(WORDS + LATENT, WIDTH, dtype=torch.float64)
    weights = {"weight_ih": of["w_ih"], "weight_hh": of["w_hh"], "bias_ih": of["b_ih"], "bias_hh": of["b_hh"]}
    h, c, states = of["h"], of["c"], []
    for word in of["read"].unbind(1):
        h, c = torch.func.functional_call(cell, weights, (torch.cat([word, attend(of, h)], -1), (h, c)))
        states.append(h)
    return torch.stack(states, 1), h, c


def test_it_is_a_cell_a_step() -> None:
    of = given()
    for found, expected in zip(ours(of), plainly(of), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("output", ["every state", "last state", "last cell"])
def test_gradients_are_those_of_autograd(output: str) -> None:
    at = ["every state", "last state", "last cell"].index(output)
    of, cotangent = given(), torch.randn(3, N, T, WIDTH, dtype=torch.float64)
    weight = cotangent[0] if at == 0 else cotangent[at, :, 0]
    found, expected = (torch.autograd.grad((run(of)[at] * weight).sum(), list(of.values())) for run in (ours, plainly))
    for name, one, other in zip(of, found, expected, strict=True):
        assert other.abs().max() > 1e-6, f"{name} matters"
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13, msg=lambda told, name=name: f"{name}: {told}")


def test_gradients_are_those_of_differences() -> None:
    of = given(1)
    assert torch.autograd.gradcheck(lambda *parts: ours(dict(zip(of, parts, strict=True))), tuple(of.values()))


def test_absent_steps_are_not_there() -> None:
    """Whatever stands in them, gradients of it are exactly 0."""
    of = given()
    with torch.no_grad():
        before = ours(of)[0]
        for name in ("keys", "z"):
            of[name][~PRESENT] += 100
        assert torch.equal(ours(of)[0], before)
    for gradient in torch.autograd.grad(ours(of)[0].sum(), [of["keys"], of["z"]]):
        assert (gradient[~PRESENT] == 0).all() and (gradient[PRESENT] != 0).all()
