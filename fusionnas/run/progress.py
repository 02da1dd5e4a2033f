"""How far the work is: a live display in a terminal, a few plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars


class Progress(Protocol):
    """What long work tells while it runs; no result depends on it."""

    def stage(self, name: str, total: int) -> None:
        """A new stage of ``total`` steps begins; the one before has ended."""

    def advance(self, facts: Mapping[str, Any]) -> None:
        """One step is done. ``facts`` are shown: epoch, entropy of the alphas, current best."""

    def message(self, text: str) -> None:
        """Something that people should know, such as what a damaged file cost."""


class QuietProgress:
    """For output that is no terminal: one line per stage, and messages.

    Args:
        stages: False for machines: messages only.
    """

    def __init__(self, *, stages: bool = True) -> None:
        self._stages = stages

    def stage(self, name: str, total: int) -> None:
        """One line with the stage's name."""
        if self._stages:
            print(f"{name} ({total} {'step' if total == 1 else 'steps'})", file=sys.stderr, flush=True)

    def advance(self, facts: Mapping[str, Any]) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)


class RichProgress:
    """A live display: stage, bar, time left, and what the last step told."""

    def __init__(self, console: Console) -> None:
        self._bars = RichBars(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", style="dim"),
            console=console,
        )
        self._stage: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """Close the bar of the stage before and open a new one."""
        self._end_stage()
        self._bars.start()
        self._stage = self._bars.add_task(name, total=total, facts="")

    def advance(self, facts: Mapping[str, Any]) -> None:
        """Move the bar; a stage that needs more steps than it said goes on without an end in sight."""
        if self._stage is None:
            return
        task = self._bars.tasks[self._bars.task_ids.index(self._stage)]
        if task.total is not None and task.completed + 1 > task.total:
            self._bars.reset(self._stage, total=None, completed=int(task.completed), start=True)
        self._bars.update(self._stage, advance=1, facts=in_words(facts))

    def message(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(text, style="yellow", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._end_stage()
        self._bars.stop()

    def _end_stage(self) -> None:
        """A stage that ended early (patience, or read from the journal) is complete all the same."""
        if self._stage is not None:
            task = self._bars.tasks[self._bars.task_ids.index(self._stage)]
            self._bars.update(self._stage, total=task.completed or 1, completed=task.completed or 1)
            self._stage = None


@contextmanager
def progress_for(*, machine: bool = False) -> Iterator[Progress]:
    """The display that fits stderr; ``machine`` (``--json``) leaves only messages."""
    console = Console(stderr=True)
    if machine or not console.is_terminal:
        yield QuietProgress(stages=not machine)
        return
    live = RichProgress(console)
    try:
        yield live
    finally:
        live.close()


def in_words(facts: Mapping[str, Any]) -> str:
    """``epoch 3  entropy 0.91  best 0.4412``; four digits of every number."""
    return "  ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in facts.items())
