"""Texts in segments with a separator between them, and what a position may see of them (TRACE Sec. 4.1, Fig. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.batch import Batch
from bench.vocabulary import PAD


def fixed_breaks(batch: Batch, length: int) -> Tensor:
    """Where segments of ``length`` tokens begin, but for the first of each text: [B, T] bool as ``Batch.breaks``.

    EOS ends the last segment and begins none.
    """
    position = torch.arange(batch.ids.shape[1], device=batch.ids.device)  # BOS is at 0, x at 1, 2, ...
    return ((position - 1) % length == 0) & (position > 1) & (position < batch.lengths[:, None] - 1)


@dataclass(frozen=True)
class Segments:
    """Sequences ``BOS x_1 [SEP] x_2 [SEP] ... x_T EOS``, one to T segments each. EOS is the last segment's [SEP].

    Attributes
    ----------
    text: ids [B, S] and lengths, with separators.
    index: [B, S] int64, the segment of each position, from 0; BOS is in the first. Padding has the number after the
        last.
    ends: [B, T] int64, where each segment ends; anywhere for those a text does not have.
    used: [B] int64, segments of each text.
    """

    text: Batch
    index: Tensor
    ends: Tensor
    used: Tensor

    @classmethod
    def of(cls, batch: Batch, breaks: Tensor, separator: int) -> Segments:
        """Texts with ``separator`` put before every token that begins a segment, [B, T] bool."""
        before = breaks.cumsum(1)  # separators up to and before each token
        used = before[:, -1] + 1
        position = torch.arange(batch.ids.shape[1], device=batch.ids.device) + before
        width = batch.ids.shape[1] + int(used.max()) - 1
        lengths = batch.lengths + used - 1
        ids = batch.ids.new_full((len(batch), width), PAD).scatter(1, position, batch.ids)
        index = used[:, None].repeat(1, width).scatter(1, position, torch.where(batch.mask, before, used[:, None]))
        row, column = breaks.nonzero(as_tuple=True)
        at, ended = position[row, column] - 1, before[row, column] - 1
        ids[row, at], index[row, at] = separator, ended
        ends = batch.ids.new_zeros(len(batch), int(used.max()))
        ends[row, ended] = at
        ends.scatter_(1, used[:, None] - 1, lengths[:, None] - 1)
        return cls(Batch(ids, lengths, batch.condition), index, ends, used)

    @classmethod
    def so_far(cls, ids: Tensor, separator: int) -> Segments:
        """Texts as they are being written, [N, S] without padding, each just after a ``separator``."""
        is_separator = ids == separator
        lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
        index = is_separator.cumsum(1) - is_separator.long()  # a separator belongs to the segment it ends
        return cls(Batch(ids, lengths), index, lengths[:, None] - 1, is_separator.sum(1))

    @property
    def present(self) -> Tensor:
        """[B, T] bool, True at the segments a text has."""
        return torch.arange(self.ends.shape[1], device=self.ends.device) < self.used[:, None]

    @property
    def predicts(self) -> Tensor:
        """[B, S-1], the segment whose token each input position predicts: a [SEP] predicts into the next one."""
        return self.index[:, 1:]

    def after(self, prompt: Batch) -> Segments:
        """The same texts as they stand right after their prompts, which are segment -1 of them; ids [B, S' + S]."""
        width = prompt.ids.shape[1] + self.text.ids.shape[1]
        column = torch.arange(width, device=self.text.ids.device).expand(len(self.used), -1)
        within = column - prompt.lengths[:, None]
        of_prompt, of_text = column.clamp(max=prompt.ids.shape[1] - 1), within.clamp(0, self.text.ids.shape[1] - 1)
        ids = torch.where(within < 0, prompt.ids.gather(1, of_prompt), self.text.ids.gather(1, of_text))
        lengths = prompt.lengths + self.text.lengths
        index = torch.where(within < 0, -1, self.index.gather(1, of_text))
        index = torch.where(column < lengths[:, None], index, self.used[:, None])
        return Segments(Batch(ids, lengths), index, self.ends + prompt.lengths[:, None], self.used)

    def extra_mask(self) -> Tensor:
        """[B, S, S] True where a position (row) sees another: those of its own and of earlier segments."""
        return self.index[:, None, :] <= self.index[:, :, None]

    def intra_mask(self) -> Tensor:
        """[B, S, S] True where a position sees another: those of its own segment."""
        return self.index[:, None, :] == self.index[:, :, None]
