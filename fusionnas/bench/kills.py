"""Whatever is killed, whenever: does the search end as if nothing had happened?

Processes are ended with kill -9 at random moments, disks filled, files damaged; then the run is resumed to its end and
compared with one that nobody disturbed: architecture, weights, preprocessing, every number of ``results.json``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.kill_ranks import kill_ranks
from fusionnas.bench.kill_scene import Scene, Tally, setting
from fusionnas.bench.nodes import Nodes
from fusionnas.bench.victims import PHASES, Life, Victim, known_results, phase_of
from fusionnas.run.progress import Progress

KILLS = 20
"""Of workers, ranks, nodes and disks; of drivers, over the four phases."""
DAMAGES = 1
"""Of every file."""


@register_bench("kills")
def kills(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Kills of the driver in each phase, of workers, ranks, nodes; full disks; every file of a run folder damaged."""
    with tempfile.TemporaryDirectory() as folder:
        scene = setting(Path(folder), seed)
        each = -(-KILLS // len(PHASES))
        trials: dict[str, Callable[[Scene], Iterator[Tally]]] = {
            **{f"driver {phase}": partial(kill_driver, phase=phase, count=each) for phase in PHASES},
            "workers": partial(kill_workers, count=KILLS),
            "ranks": partial(kill_ranks, count=KILLS),
            "nodes": partial(kill_nodes, count=KILLS),
            "disk": partial(fill_disk, count=KILLS),
            "unfinished run": partial(damage_unfinished, count=DAMAGES),
            "finished run": partial(damage_finished, count=DAMAGES),
        }

        def timed(name: str) -> list[dict[str, Any]]:
            begun = time.monotonic()
            tallies = list(trials[name](scene.corner(name, seed)))
            return [tally.row((time.monotonic() - begun) / len(tallies)) for tally in tallies]

        progress.stage("kills", len(trials))
        rows: list[dict[str, Any]] = []
        # Threads: all the work is done by the processes that are killed.
        with ThreadPoolExecutor(workers) as pool:
            for done in pool.map(timed, trials):
                rows += done
                write_table(output, rows)
                progress.advance({"victim": done[-1]["victim"], "kills": sum(row["kills"] for row in done)})
    return rows


def kill_driver(scene: Scene, phase: str, count: int) -> Iterator[Tally]:
    """Kill -9 at random moments of a phase, resume, kill again, until it has ended; then from its start anew."""
    tally, start = Tally("driver", phase), None
    while tally.kills < count:
        life = scene.fresh(start)
        while True:
            victim = Victim(life)
            reached = phase == "search" or any(phase_of(stage) == phase for stage in victim.stages())
            if reached and start is None and phase != "search":
                start = _snapshot(scene, victim, life)
                victim = Victim(life)
                reached = any(phase_of(stage) == phase for stage in victim.stages())
            if reached and tally.kills < count:
                time.sleep(scene.dice.uniform(0, 1.2 * scene.lasts[phase]))
                before = known_results(life.run) if victim.process.is_alive() else {}
                tally.kills += victim.kill()
                tally.lost_results += _lost(before, life.run)
            else:
                victim.end()
            if victim.process.exitcode == 0:
                break
            if victim.process.exitcode != -signal.SIGKILL:
                tally.other.append(f"status {victim.process.exitcode}")
                break
        if victim.process.exitcode == 0:
            scene.judge(life, tally)
    yield tally


def _snapshot(scene: Scene, victim: Victim, life: Life) -> Path:
    """A copy of the run folder at the beginning of a phase, to come back to without the way there."""
    victim.kill()
    start = scene.folder / "start"
    shutil.rmtree(start, ignore_errors=True)
    shutil.copytree(life.run, start)
    return start


def _lost(before: dict[str, Any], run: Path) -> int:
    """Results that were in the journal and are not there any more, or are others."""
    after = known_results(run)
    # As text: a number that is none does not equal itself.
    return sum(json.dumps(after.get(name)) != json.dumps(facts) for name, facts in before.items())


def kill_workers(scene: Scene, count: int) -> Iterator[Tally]:
    """Kill -9 one of two worker processes while they train; nobody resumes, the search has to go on by itself.

    Two kills per run: a training that loses three workers is given up, by design.
    """
    tally = Tally("worker", "retrain")
    start: Path | None = None
    while tally.kills < count:
        life = replace(scene.fresh(start), workers=2)
        victim, left = Victim(life), 2
        for stage in victim.stages():
            if phase_of(stage) != "retrain":
                continue
            if start is None:
                start = _snapshot(scene, victim, life)
                break
            while left and victim.process.is_alive() and not victim.said.poll(0):
                time.sleep(scene.dice.uniform(0, 0.5 * scene.lasts["retrain"]))
                with suppress(ProcessLookupError, IndexError):
                    os.kill(scene.dice.choice(victim.workers), signal.SIGKILL)
                    tally.kills, left = tally.kills + 1, left - 1
        said = victim.end()
        if victim.process.exitcode == 0:
            scene.judge(life, tally)
        elif victim.process.exitcode != -signal.SIGKILL:
            tally.other.append(f"status {victim.process.exitcode}: {said[-1:]}")
    yield tally


def kill_nodes(scene: Scene, count: int) -> Iterator[Tally]:
    """Kill -9 a Ray node while a worker on it trains, again and again; nobody resumes, another node takes its place."""
    tally, start = Tally("Ray node", "retrain"), None
    with closing(Nodes()) as nodes:
        while tally.kills < count:
            life = replace(scene.fresh(start), workers=2, ray=nodes.address, environment=nodes.environment)
            victim = Victim(life)
            for stage in victim.stages():
                if phase_of(stage) != "retrain":
                    continue
                if start is None:
                    start = _snapshot(scene, victim, life)
                    break
                while tally.kills < count and victim.process.is_alive() and not victim.said.poll(0):
                    tally.kills += nodes.kill(after=scene.dice.uniform(0, 0.5 * scene.lasts["retrain"]))
            said = victim.end()
            if victim.process.exitcode == 0:
                scene.judge(life, tally)
            elif victim.process.exitcode != -signal.SIGKILL:
                tally.other.append(f"status {victim.process.exitcode}: {said[-1:]}")
    yield tally


def fill_disk(scene: Scene, count: int) -> Iterator[Tally]:
    """No file may grow beyond a random size: journal, checkpoints, weights stop somewhere; then there is room again."""
    tally = Tally("disk full", "all")
    largest = max(file.stat().st_size for file in scene.life.run.rglob("*") if file.is_file())
    while tally.kills < count:
        life = scene.fresh()
        limit = int(scene.dice.uniform(1000, scene.dice.choice((60_000, largest))))
        victim = Victim(replace(life, file_size=limit))
        said = victim.end()
        if victim.process.exitcode == 0:
            continue  # the limit was above every file
        tally.kills += 1
        if not any(kind in ("error", "refused") and "the file size limit is reached" in text for kind, text in said):
            tally.other.append(f"not told: {said[-1:]}")
        before = known_results(life.run)
        again = Victim(life)
        again.end()
        tally.lost_results += _lost(before, life.run)
        if again.process.exitcode == 0:
            scene.judge(life, tally)
        else:
            tally.other.append(f"status {again.process.exitcode} after {limit} bytes")
    yield tally


def damage_unfinished(scene: Scene, count: int) -> Iterator[Tally]:
    """Every file of a run that was stopped while networks trained, ``count`` times: cut off, or one bit changed."""
    middle = scene.folder / "middle"
    _stop_in_the_middle(scene, middle)
    return _damage_files(scene, middle, "unfinished run", count)


def damage_finished(scene: Scene, count: int) -> Iterator[Tally]:
    """Every file of a finished run, likewise."""
    return _damage_files(scene, scene.life.run, "finished run", count)


def _damage_files(scene: Scene, source: Path, name: str, count: int) -> Iterator[Tally]:
    tallies: dict[str, Tally] = {}
    for file in sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file()):
        tally = tallies.setdefault(kind_of(file), Tally(f"damaged: {kind_of(file)}", name))
        for _ in range(count):
            _damaged(scene, source, file, tally)
    return iter(tallies.values())


def _stop_in_the_middle(scene: Scene, copy: Path) -> None:
    """A run that was killed while networks trained, with states of trainings under way."""
    life = replace(scene.fresh(), save_every=0.0)
    while True:
        victim = Victim(life)
        if not any(stage == "compare on all folds" for stage in victim.stages()):
            raise AssertionError("the run ended before it could be stopped")
        time.sleep(scene.dice.uniform(0.1, 0.5) * scene.lasts["retrain"])
        victim.kill()
        if any(life.run.rglob("*.pt")):
            break
        life = replace(scene.fresh(), save_every=0.0)
    shutil.copytree(life.run, copy)


def kind_of(file: Path) -> str:
    """What a file in a run folder is, by its place."""
    if file.parts[0] == "checkpoints":
        return "state of a training" if file.suffix == ".pt" else "result of a unit"
    return file.parts[0] if len(file.parts) == 1 else f"{file.parts[0]}/"


def _damaged(scene: Scene, source: Path, file: Path, tally: Tally) -> None:
    life = scene.fresh(source)
    damage(life.run / file, scene.dice)
    victim = Victim(life)
    said = victim.end()
    tally.kills += 1
    if victim.process.exitcode == 0:
        scene.judge(life, tally)
    elif victim.process.exitcode == 2 and any(kind == "refused" and str(life.run) in text for kind, text in said):
        tally.refused += 1
    else:
        tally.other.append(f"{file}: status {victim.process.exitcode} {json.dumps(said[-1:])[:200]}")


def damage(file: Path, dice: random.Random) -> None:
    """Cut it off somewhere, or change one bit."""
    data = bytearray(file.read_bytes())
    if dice.random() < 0.4 or not data:
        data = data[: dice.randrange(len(data) + 1)]
    else:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    file.write_bytes(data)
