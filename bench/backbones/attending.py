"""An LSTM that attends, before every word, to a sequence of latent variables (DAVAM Sec. III-A), and its gradients.

Nothing of a step can be computed before the state of the step before it, so gradients as a framework makes them are
hundreds of small operations, each adding to a whole matrix of weights. Written out, what the words and the weights
contribute is one matrix product over all steps; in the loop is only what has to be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench.nll import lowered


@dataclass(frozen=True)
class Attended:
    """A latent sequence of S steps, and what its additive attention is made of (DAVAM Eq. 3).

    From the state h_{i-1} before a word the decoder reads c_i = sum_t alpha_it z_t beside it, with
    alpha_i = softmax_t(v . tanh(k_t + W_d h_{i-1})) and k_t = W_e z_t + b.

    Attributes
    ----------
    keys, z: k_t [N, S, d] and z_t [N, S, D].
    present: [N, S], the steps that each sequence has.
    w_d, v: [d, d] and [d].
    """

    keys: Tensor
    z: Tensor
    present: Tensor
    w_d: Tensor
    v: Tensor


def attending_lstm(
    read: Tensor, state: tuple[Tensor, Tensor], to: Attended, weights: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Words [N, T, E], each with c_i beside it, and the (h, c) before them -> h of every step [N, T, d], and the last.

    ``weights`` are those of a ``torch.nn.LSTM`` of E + D inputs: W_ih [4d, E + D], W_hh [4d, d], b_ih and b_hh [4d].
    """
    w_ih, w_hh, *biases = weights
    of_words, beside = w_ih.split([read.shape[-1], to.z.shape[-1]], 1)
    steps = read.transpose(0, 1) @ of_words.T + sum(biases)  # what words add to the gates: [T, N, 4d]
    low = torch.is_autocast_enabled(read.device.type)
    # v . tanh(a) is 2 v . sigmoid(2 a) less the sum of v, which a softmax does not see; sigmoid is the faster on CPUs
    keys, of_state, v = 2 * to.keys, torch.cat([w_hh, 2 * to.w_d]), 2 * to.v
    with torch.autocast(read.device.type, enabled=False):  # states stay in float32
        steps = steps.to(w_hh.dtype)
        hidden, cell = _Attending.apply(steps, *state, keys, to.z, to.present, beside, of_state, v, low)
    return hidden.transpose(0, 1), (hidden[-1], cell)


class _Attending(torch.autograd.Function):
    """The recurrence, with alpha_i = softmax_t(v . sigmoid(k_t + query_i)).

    ``of_state`` [5d, d] makes of a state what it adds to the next gates, and its query.
    """

    @staticmethod
    def forward(
        ctx: Any, steps: Tensor, h: Tensor, c: Tensor, keys: Tensor, z: Tensor, present: Tensor, beside: Tensor,
        of_state: Tensor, v: Tensor, low: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.low = low
        length, n, d = len(steps), len(h), h.shape[1]
        gates = torch.empty_like(steps)  # i, f, g, o of every step
        hidden, cells = (steps.new_empty(length + 1, n, d) for _ in range(2))  # from the state before the first
        hidden[0], cells[0] = h, c
        queries, alphas = steps.new_empty(length, n, d), steps.new_empty(length, n, z.shape[1])
        read = steps.new_empty(length, n, z.shape[2])  # c_i
        absent, inner = ~present, torch.empty_like(keys)
        for t in range(length):
            to_gates, queries[t] = (hidden[t] @ of_state.T).split([4 * d, d], 1)
            scores = torch.add(keys, queries[t][:, None], out=inner).sigmoid_() @ v
            torch.softmax(scores.masked_fill_(absent, float("-inf")), -1, out=alphas[t])
            torch.bmm(alphas[t][:, None], z, out=read[t][:, None])
            torch.addmm(steps[t] + to_gates, read[t], beside.T, out=gates[t])
            i_and_f, g, o = gates[t].split([2 * d, d, d], 1)
            i, f = i_and_f.sigmoid_().chunk(2, 1)
            g.tanh_(), o.sigmoid_()
            torch.addcmul(f * cells[t], i, g, out=cells[t + 1])
            torch.mul(o, cells[t + 1].tanh(), out=hidden[t + 1])
        ctx.save_for_backward(gates, hidden, cells, queries, alphas, read, keys, z, beside, of_state, v)
        return hidden[1:].clone(), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_hidden: Tensor, of_cell: Tensor) -> tuple[Tensor | None, ...]:
        gates, hidden, cells, queries, alphas, read, keys, z, beside, of_state, v = ctx.saved_tensors
        length, n, d = queries.shape
        from_state = gates.new_empty(length, n, 5 * d)  # gradients of what a state adds to the gates, and of its query
        of_read, of_scores = torch.empty_like(read), torch.empty_like(alphas)
        of_v, inner, slopes = torch.zeros_like(v), torch.empty_like(keys), torch.zeros_like(keys)
        dh, dc = torch.zeros_like(cells[0]), of_cell
        for t in reversed(range(length)):
            i, f, g, o = gates[t].chunk(4, 1)
            tanh = cells[t + 1].tanh()
            dh = dh + of_hidden[t]
            dc = dc + dh * o * (1 - tanh * tanh)
            of_gates, of_query = from_state[t].split([4 * d, d], 1)
            di, df, dg, do = of_gates.chunk(4, 1)
            torch.mul(dc * g, i * (1 - i), out=di)
            torch.mul(dc * cells[t], f * (1 - f), out=df)
            torch.mul(dc * i, 1 - g * g, out=dg)
            torch.mul(dh * tanh, o * (1 - o), out=do)
            torch.mm(of_gates, beside, out=of_read[t])
            of_alpha = (z @ of_read[t][:, :, None])[:, :, 0]
            mean = (of_alpha * alphas[t]).sum(-1, keepdim=True)
            torch.mul(alphas[t], of_alpha - mean, out=of_scores[t])
            # sigmoid again: kept of all steps, [T, N, S, d], it would be most of the memory of training
            torch.add(keys, queries[t][:, None], out=inner).sigmoid_()
            of_v += of_scores[t].flatten() @ inner.flatten(0, 1)
            inner.addcmul_(inner, inner, value=-1.0)
            slopes.addcmul_(inner, of_scores[t][:, :, None])
            torch.mul(v, (of_scores[t][:, None] @ inner)[:, 0], out=of_query)
            dh, dc = from_state[t] @ of_state, dc * f
        of_keys = v * slopes
        of_gates = from_state[:, :, : 4 * d]
        of_z = torch.einsum("tns,tnd->nsd", alphas, of_read)
        with lowered(ctx.low):
            of_beside = of_gates.flatten(0, 1).T @ read.flatten(0, 1)
            of_weights = from_state.flatten(0, 1).T @ hidden[:-1].flatten(0, 1)
        return of_gates, dh, dc, of_keys, of_z, None, of_beside, of_weights, of_v, None
