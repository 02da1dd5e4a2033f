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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from fusionnas.search.method import Task, methods

SEEDS = 10
FIRST_SEED = 100
"""Outside the tables, whose trainings have seeds 0, 1 and 2."""
RIVALS = ("darts", "gdas", "darts:decoder=perturbation", "spos", "random", "evolution", "tpe")


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
            if what == "compare":
                rows += _compared(table, seed, executor, progress)
            else:
                rows += _scored(rest[0], rest[1:], table, seed, executor, progress)
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
    """Search with one seed on one core, and look up what was found; a budget of seconds is one of that core's."""
    given, _ = problem(table.name, seed=seed, overrides=[f"search.method={method}", *overrides])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        with Run.create(Path(folder) / "run", space=given.space, settings={}) as run:
            found = methods[method](Task(given, run, QuietProgress(stages=False), clock=time.process_time))
        seconds = time.process_time() - start
    ranked = [(row["loss"], row["id"]) for row in found.facts.get("shortlist", ())]
    known = {a.id: accuracy for a, accuracy in zip(table.architectures, table.test_accuracy, strict=True)}
    by_id = {a.id: a for a in table.architectures}
    # References such as the sum of all modalities may win, and are not in the space: then the next best that is.
    inside = [*(a.id for a in found.finalists), *(name for _, name in sorted(ranked))]
    chosen = next((by_id[name] for name in inside if name in by_id), None)
    pairs = [(-loss, known[name]) for loss, name in ranked if name in known]
    tau = kendall_tau(*zip(*pairs, strict=True)) if pairs else None
    return {
        "table": table.name, "method": method, "settings": " ".join(overrides), "seed": seed,
        "regret": "" if chosen is None else f"{table.regret(chosen):.3f}",
        "tau": "" if tau is None else f"{tau:.3f}", "seconds": f"{seconds:.1f}", "architecture": str(chosen),
    }  # fmt: skip


def _compared(table: Table, seed: int, executor: Executor, progress: Progress) -> list[dict[str, Any]]:
    """The default, then every rival with the default's mean seconds on that table."""
    rows = _scored("default", (), table, seed, executor, progress)
    seconds = statistics.mean(float(row["seconds"]) for row in rows)
    for rival in RIVALS:
        method, *settings = rival.split(":")
        given = [f"search.{s}" for s in settings] + [f"search.budget.seconds={seconds:.1f}"]
        rows += _scored(method, given, table, seed, executor, progress)
    return rows
