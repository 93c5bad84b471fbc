"""Trainings that are killed, and checkpoints counted in steps, since seconds are nobody's to count on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import training
from bench.checkpoint import Checkpoint


def every(steps: int) -> property:
    """``Checkpoint.due``, after so many steps of each run."""

    def due(checkpoint: Checkpoint) -> bool:
        checkpoint.asked = getattr(checkpoint, "asked", 0) + 1  # type: ignore[attr-defined]
        return checkpoint.asked % steps == 0

    return property(due)


def stop(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """As if by a signal, before the step that would be number ``after`` + 1 of the training, all stages counted."""
    step = training.Run._step

    def killed(run: training.Run, *rest: object) -> None:
        if run.progress.before + run.progress.step == after:
            raise KeyboardInterrupt
        step(run, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(training.Run, "_step", killed)


def saved_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps, all stages counted, at which checkpoints are written from now on."""
    steps, save = [], Checkpoint.save

    def watched(checkpoint: Checkpoint, method, optimiser, best, progress, spent) -> None:  # type: ignore[no-untyped-def]
        steps.append(progress.before + progress.step)
        save(checkpoint, method, optimiser, best, progress, spent)

    monkeypatch.setattr(Checkpoint, "save", watched)
    return steps


class Nowhere(Checkpoint):
    """For trainings that are not killed: neither read nor written."""

    due = False  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), "")
