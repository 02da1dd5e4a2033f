"""Ranks that share a supernet's training (``search.data_parallel``), killed while they start and while they train."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fusionnas.bench.kill_scene import Scene, Tally, setting
from fusionnas.bench.victims import Victim

_EACH = 2
"""Kills per run: ranks that end three times are given up, by design."""


def kill_ranks(scene: Scene, count: int) -> Iterator[Tally]:
    """Kill -9 one of two ranks at random moments; nobody resumes, the supernet goes on from its last checkpoint."""
    tally, own = Tally("rank", "search"), setting(scene.folder, 0, ranks=2)
    while tally.kills < count:
        life = own.fresh()
        victim = Victim(life)
        if any(stage == "supernet" for stage in victim.stages()):
            for _ in range(_EACH):
                tally.kills += _kill_one(scene, victim, after=scene.dice.uniform(0, own.lasts["search"] / 2))
        said = victim.end()
        if victim.process.exitcode == 0:
            own.judge(life, tally)
        else:
            tally.other.append(f"status {victim.process.exitcode}: {said[-1:]}")
    yield tally


def _kill_one(scene: Scene, victim: Victim, *, after: float) -> bool:
    """Once there are ranks, and some seconds later; False if the supernet was trained before."""
    killed = False
    while not killed and victim.process.is_alive() and not _over(victim):
        found = ranks_of(victim)
        if not found:
            time.sleep(0.05)
        elif after > 0:
            time.sleep(after)
            after = 0
        else:
            with suppress(ProcessLookupError):
                os.kill(scene.dice.choice(found), signal.SIGKILL)
                killed = True
    return killed


def _over(victim: Victim) -> bool:
    """Whether the next stage has begun, or the search has ended."""
    return any(kind != "told" for kind, _ in victim.messages(0))


def ranks_of(victim: Victim) -> list[int]:
    """Processes of Ray Train's ranks below a search."""
    return [process for process in map(int, _processes()) if _is_rank(process) and _below(process, victim.process.pid)]


def _processes() -> list[str]:
    return sorted(folder.name for folder in Path("/proc").glob("[0-9]*"))


def _is_rank(process: int) -> bool:
    with suppress(OSError):
        return b"RayTrainWorker" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def _below(process: int, ancestor: int | None) -> bool:
    with suppress(OSError):
        while process > 1 and process != ancestor:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process == ancestor
