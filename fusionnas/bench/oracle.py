"""Oracle tables: build them, score a method by them, compare methods at equal time.

``build [NAME...]`` trains every architecture of the three small spaces; ``score METHOD [KEY=VALUE...]`` runs a method,
also one from a plug-in, on fresh seeds and looks up what it found; ``compare [NAME...]`` does so for many methods, each
with as many seconds of one core as the default takes.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusionnas.bench.base import register_bench, write_table
from fusionnas.errors import FusionNASError, InputError, did_you_mean
from fusionnas.execution.base import Call, Executor, completed
from fusionnas.execution.choose import make_executor
from fusionnas.execution.shared import Shared
from fusionnas.oracle.build import build_table
from fusionnas.oracle.problems import problem, problems
from fusionnas.oracle.table import Table, load
from fusionnas.run import Run
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.search.choice import kendall_tau
from fusionnas.search.finalists import Winner, choose
from fusionnas.search.method import Task, methods

SEEDS = 10
FIRST_SEED = 200
"""Outside the tables, whose trainings have seeds 0, 1 and 2, and 100 to 109, with which the default was made."""
SAMPLED = ("random", "evolution", "tpe")
RIVALS = (
    "darts", "gdas", "darts:decoder=perturbation", "spos", *SAMPLED,
    *(f"{name}:options.train=networks" for name in SAMPLED),
)  # fmt: skip
"""Those that sample, with heads as the default trains them, and as published: whole networks, one after the other."""


@register_bench("oracle")
def oracle(
    output: Path, *, seed: int, workers: int, progress: Progress, words: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """``build``, ``score METHOD`` or ``compare``."""
    what, *rest = words or ("score", "default")
    unknown = [f"'{name}'.{did_you_mean(name, problems)}" for name in rest if what != "score" and name not in problems]
    if what not in ("build", "score", "compare") or (what == "score" and not rest) or unknown:
        expected = f"build [NAME...], score METHOD [KEY=VALUE...] or compare [NAME...], of {', '.join(problems)}"
        raise InputError(f"fusionnas bench oracle: expected {expected}", unknown)
    with contextlib.closing(make_executor(workers)) as executor:
        if what == "build":
            return _build(output.parent / "oracle", rest or list(problems), executor, progress)
        file = output.with_name("oracle_scores.csv") if what == "compare" else output
        rows: list[dict[str, Any]] = []
        for table in [load(name) for name in (rest if what == "compare" and rest else problems)]:
            ways = _compared(table, seed, executor, progress) if what == "compare" else [
                _scored(rest[0], rest[1:], table, seed, executor, progress)
            ]
            for scored in ways:
                rows += scored
                write_table(file, rows)
    return rows


def _build(folder: Path, names: Sequence[str], executor: Executor, progress: Progress) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        table = build_table(name, folder, executor=executor, progress=progress)
        regrets = table.exhaustive_regret()
        rows.append({
            "table": name, "architectures": len(table.architectures), "seeds": table.seeds, "epochs": table.epochs,
            "best": str(table.best), "best_accuracy": f"{table.test_accuracy.max():.4f}",
            "mean_accuracy": f"{table.test_accuracy.mean():.4f}",
            "regret_of_one_seed_exhaustive": f"{statistics.mean(regrets):.2f}",
            "kilobytes": (folder / f"{name}.npz").stat().st_size // 1000,
        })  # fmt: skip
    return rows


def _scored(
    method: str, overrides: Sequence[str], table: Table, seed: int, executor: Executor, progress: Progress
) -> list[dict[str, Any]]:
    """One row per seed."""
    progress.stage(f"{method} on {table.name}", SEEDS)
    numbers, shared = range(FIRST_SEED + seed, FIRST_SEED + seed + SEEDS), Shared(table)
    calls = (Call(f"{number}", score_once, (method, tuple(overrides), shared, number)) for number in numbers)
    rows: dict[str, dict[str, Any]] = {}
    with contextlib.closing(completed(executor, calls)) as ends:
        for ended in ends:
            if ended.failure is not None:
                problem = f"{method} on {table.name}, seed {ended.call.name}: {ended.failure.text}"
                raise FusionNASError(f"{problem}\n{ended.failure.traceback}")
            rows[ended.call.name] = ended.value
            progress.advance({"regret": ended.value["regret"]})
    return [rows[str(number)] for number in numbers]


def score_once(method: str, overrides: Sequence[str], table: Table, seed: int) -> dict[str, Any]:
    """Search with one seed on one core, and look up what was chosen; a budget of seconds is one of that core's.

    As in every search, finalists and references train end to end, the best of them on all folds, and inputs that the
    choice ignores are dropped. A method that proposes one network has chosen: no reference comes to its rescue.
    """
    given, _ = problem(table.name, seed=seed, overrides=[f"search.method={method}", *overrides])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        with Run.create(Path(folder) / "run", space=given.space, settings={}) as run:
            task = Task(given, run, QuietProgress(stages=False), clock=time.process_time)
            found = methods[method](task)
            searched = time.process_time() - start
            winner = choose(task, found) if len(found.finalists) > 1 else None
        seconds = time.process_time() - start
    places = {a.id: place for place, a in enumerate(table.architectures)}
    ranked = [places[name] for name in final_ranking(winner) if name in places] if winner else []
    chosen = winner.architecture if winner else found.finalists[0]
    return {
        "table": table.name, "method": method, "settings": " ".join(overrides), "seed": seed,
        "regret": f"{table.regret(chosen):.3f}", **_taus(table, ranked),
        "seconds": f"{seconds:.1f}", "search_seconds": f"{searched:.1f}", "architecture": str(chosen),
    }  # fmt: skip


def final_ranking(winner: Winner) -> list[str]:
    """Ids of all that was trained end to end: those on all folds by their loss there, then the others by theirs."""
    rows = sorted(winner.table, key=lambda row: (-row["folds"], row["loss"]))
    return [str(row["id"]) for row in rows]


def _taus(table: Table, ranked: Sequence[int]) -> dict[str, str]:
    """Kendall's tau of places, best first, with their test accuracy; and, to compare it with, two of the table's own.

    ``tau_of_table``: of the table's own select losses, one training each to the end. ``tau_of_test``: of the test
    accuracy of one training with that of the others, which no search sees. Both are means over the table's seeds.
    """
    right, losses = table.test_right[list(ranked), :, -1], table.select_loss[list(ranked), :, -1]
    truth = [float(table.test_accuracy[place]) for place in ranked]
    seeds = range(table.seeds)
    own = [kendall_tau((-losses[:, seed]).tolist(), truth) for seed in seeds]
    others = [kendall_tau(right[:, seed].tolist(), np.delete(right, seed, 1).sum(1).tolist()) for seed in seeds]
    return {
        "tau": _mean([kendall_tau([-float(rank) for rank in range(len(ranked))], truth)]),
        "tau_of_table": _mean(own),
        "tau_of_test": _mean(others),
    }


def _mean(taus: Sequence[float | None]) -> str:
    known = [tau for tau in taus if tau is not None]
    return f"{statistics.mean(known):.3f}" if known else ""


def _compared(table: Table, seed: int, executor: Executor, progress: Progress) -> Iterator[list[dict[str, Any]]]:
    """The default, then every rival with the default's mean seconds of searching on that table."""
    rows = _scored("default", (), table, seed, executor, progress)
    yield rows
    seconds = statistics.mean(float(row["search_seconds"]) for row in rows)
    for rival in RIVALS:
        method, *settings = rival.split(":")
        given = [f"search.{s}" for s in settings] + [f"search.budget.seconds={seconds:.1f}"]
        yield _scored(method, given, table, seed, executor, progress)
