"""Where kills happen, and what came of them."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionnas.bench.victims import PHASES, Life, Outcome, Victim, openings, outcome, phase_of, write_space


@dataclass
class Tally:
    """What happened to one kind of victim in one phase."""

    victim: str
    phase: str
    kills: int = 0
    ends: int = 0
    identical: int = 0
    refused: int = 0
    lost_results: int = 0
    repeated_openings: int = 0
    other: list[str] = field(default_factory=list)

    def row(self, seconds: float) -> dict[str, Any]:
        """For the table."""
        values = {key: value for key, value in vars(self).items() if key != "other"}
        return {**values, "unexpected": "; ".join(self.other), "seconds": f"{seconds:.0f}"}


@dataclass(frozen=True)
class Scene:
    """Where it happens.

    Attributes:
        folder: scratch.
        life: how processes search; its run folder is replaced.
        whole: what an undisturbed run found.
        lasts: seconds that each phase took there.
        dice: moments, victims, bits.
    """

    folder: Path
    life: Life
    whole: Outcome
    lasts: dict[str, float]
    dice: random.Random

    def corner(self, name: str, seed: int) -> Scene:
        """The same for one trial alone, with a folder and dice of its own."""
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return replace(self, folder=folder, dice=random.Random(f"{seed} {name}"))

    def fresh(self, source: Path | None = None) -> Life:
        """A life in a new run folder, begun from a copy of ``source``."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        if source is not None:
            shutil.copytree(source, run)
        return replace(self.life, run=run)

    def judge(self, life: Life, tally: Tally) -> None:
        """A run has ended: is it the undisturbed one?"""
        tally.ends += 1
        tally.identical += outcome(life.run) == self.whole
        tally.repeated_openings += openings(life.run) - 1


def setting(folder: Path, seed: int, *, ranks: int = 1) -> Scene:
    """The undisturbed run, its supernet on so many ranks, and how long its phases took."""
    life = Life(write_space(folder, ranks=ranks), folder / "whole")
    victim, begun, lasts = Victim(life), time.monotonic(), dict.fromkeys(PHASES, 0.0)
    phase = "search"
    for stage in victim.stages():
        lasts[phase] += time.monotonic() - begun
        begun, phase = time.monotonic(), phase_of(stage)
    victim.process.join()
    lasts[phase] += time.monotonic() - begun
    assert victim.process.exitcode == 0, "the undisturbed run failed"
    return Scene(folder, life, outcome(life.run), lasts, random.Random(seed))
