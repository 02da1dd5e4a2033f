"""Trainings on an executor: same results everywhere, and one that fails is left out."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fusionnas.architecture import Architecture, Node, Point
from fusionnas.errors import FusionNASError
from fusionnas.execution import Executor, InlineExecutor
from fusionnas.execution.local import LocalExecutor
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.finalists import choose
from fusionnas.search.method import Found, Problem, Task
from fusionnas.search.retrain import Job, attempt, failed, retrain
from fusionnas.space import SearchSpace
from tests.spaces import tiny_data, tiny_space

LAYERS = {"a": ("mlp",), "b": ("gru", "gru"), "c": ("summary",)}
A, C = Point("a", 1), Point("c", 1)


def task(run: Run, executor: Executor | None = None, space: SearchSpace | None = None) -> Task:
    problem = Problem(space or tiny_space(), tiny_data(), 3)
    return Task(problem, run, QuietProgress(stages=False), executor or InlineExecutor())


def architectures() -> list[Architecture]:
    space = tiny_space()
    return [space.architecture([], output=A, layers=LAYERS), space.architecture([], output=C, layers=LAYERS),
            space.architecture([Node((A, C), "mlp")], layers=LAYERS)]  # fmt: skip


def broken() -> Architecture:
    """Of an operator that is nowhere registered."""
    return replace(architectures()[2], nodes=(Node((A, C), "nothing"),))


@pytest.fixture
def run(tmp_path: Path):
    with Run.create(tmp_path / "run", space=tiny_space(), settings={}) as opened:
        yield opened


@pytest.mark.slow
def test_one_two_and_four_workers_train_the_same_bits(tmp_path: Path) -> None:
    jobs = [Job(architecture, seed) for architecture in architectures() for seed in range(2)]
    found = []
    for workers in (1, 2, 4):
        made = InlineExecutor() if workers == 1 else LocalExecutor(workers)
        with Run.create(tmp_path / str(workers), space=tiny_space(), settings={}) as run, contextlib.closing(made):
            found.append(retrain(task(run, made), jobs))
    for one, two, four in zip(*found, strict=True):
        assert one.epoch == two.epoch == four.epoch
        for key, value in one.state.items():
            assert torch.equal(value, two.state[key]) and torch.equal(value, four.state[key])


def test_a_training_that_fails_is_told_journaled_and_left_out(run: Run, capsys) -> None:
    jobs = [Job(a, 0) for a in (broken(), *architectures())]
    assert set(attempt(task(run), jobs)) == set(jobs[1:])
    assert "nothing(a.1, c.1) failed: 'nothing' is not a fusion operator." in capsys.readouterr().err
    (entry,) = failed(run)
    assert entry["unit"] == jobs[0].name and entry["kind"] == "error"
    assert "in train_job" in entry["traceback"]
    assert set(attempt(task(run), jobs)) == set(jobs[1:])
    assert capsys.readouterr().err == ""


def test_where_a_training_is_needed_its_failure_ends_the_search_and_is_tried_again(run: Run, capsys) -> None:
    jobs = [Job(broken(), 0), Job(architectures()[0], 0)]
    for _ in range(2):
        with pytest.raises(FusionNASError, match=r"nothing\(a.1, c.1\) cannot be trained: 'nothing' is not"):
            retrain(task(run), jobs)
        with pytest.raises(FusionNASError, match="cannot be trained"):
            attempt(task(run), jobs[:1])
        assert "nothing(a.1, c.1) failed" in capsys.readouterr().err
    assert failed(run) == [] and run.known(jobs[1].name)


def test_the_choice_goes_on_without_candidates_that_fail(run: Run) -> None:
    data = tiny_data()
    for part in (data.train, data.alpha, data.select):
        part.inputs["c"].values[:] = math.inf
    problem = Problem(tiny_space(), data, 3)
    winner = choose(Task(problem, run, QuietProgress(stages=False)), Found(tuple(architectures()), LAYERS, {}))
    assert not {"c"} & {name for row in winner.table for name in row["modalities"]}
    assert not any(point.modality == "c" for point in winner.architecture.points())
    assert all(entry["failed"].startswith("the loss is nan after epoch 1") for entry in failed(run))
    assert {architectures()[1].id, architectures()[2].id} <= {entry["unit"].split("/")[1] for entry in failed(run)}


def test_a_training_beyond_its_limit_fails(run: Run, capsys) -> None:
    space = SearchSpace.parse(tiny_space().to_yaml(), overrides=["execution.seconds=1e-6", "execution.memory=100"])
    with contextlib.closing(LocalExecutor(2)) as executor:
        limited = task(run, executor, space)
        assert (limited.limits.seconds, limited.limits.memory) == (1e-6, 10**11)
        told = r"cannot be trained \(and 1 more\): took longer than its limit of 1e-06 s"
        with pytest.raises(FusionNASError, match=told):
            attempt(limited, [Job(a, 0) for a in architectures()[:2]])
    assert "failed: took longer" in capsys.readouterr().err
