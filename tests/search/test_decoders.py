"""Decoders: each gives valid finalists for a relaxed method, exactly again after a kill, and obeys a budget."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
import torch

from fusionnas.architecture import NodeRef, Point
from fusionnas.errors import SpaceError
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.decoder import decoders
from fusionnas.search.decoders.sampled import draw
from fusionnas.search.method import Problem, Task, methods
from fusionnas.search.references import competes
from fusionnas.supernet import Alphas, one_hot
from fusionnas.supernet.mixing import softmax
from tests.search.test_methods import PLANTED, SMALL, Killed, Kills, data, search, space
from tests.spaces import tiny_space


@pytest.mark.slow
@pytest.mark.parametrize("name", list(decoders))
def test_finds_the_same_after_kills(name: str, tmp_path: Path) -> None:
    known = space(SMALL, "search.method=darts", f"search.decoder={name}")
    whole = search("darts", tmp_path / "whole", known, data(SMALL))
    for steps in (3, 7):
        try:
            search("darts", tmp_path / "killed", known, data(SMALL), progress=Kills(steps))
        except Killed:
            continue
    assert search("darts", tmp_path / "killed", known, data(SMALL)) == whole
    assert all(competes(known, a) for a in whole.finalists)


@pytest.mark.parametrize("name", list(decoders))
def test_finds_the_two_modalities_that_decide(name: str, tmp_path: Path) -> None:
    known = space(PLANTED, "search.method=darts", f"search.decoder={name}")
    found = search("darts", tmp_path / "run", known, data(PLANTED), seed=0)
    assert set(found.finalists[0].modalities) >= {"a", "b"}


@pytest.mark.parametrize("name", list(decoders))
def test_keeps_a_budget(name: str, tmp_path: Path) -> None:
    known = space(SMALL, "search.method=darts", f"search.decoder={name}", "search.budget={epochs: 6}")
    found = search("darts", tmp_path / "run", known, data(SMALL))
    assert 3 <= found.facts["spent"]["epochs"] <= 6


def test_perturbation_decides_every_choice_once(tmp_path: Path) -> None:
    known = space(SMALL, "search.method=darts", "search.decoder=perturbation")
    decided = search("darts", tmp_path / "run", known, data(SMALL)).facts["decided"]
    names = [text.split(" = ")[0] for text in decided]
    assert len(names) == len(set(names)) and "gamma.0[0]" in names and "beta.b[0]" in names
    assert not any(name.startswith("beta.a") for name in names)  # one encoder: nothing to decide


def test_draws_follow_the_weights_and_stay_in_the_space() -> None:
    known = tiny_space(nodes=2, inputs="[2, 3]", operators=("additive", "multiplicative"))
    layers = {name: m.encoder[:1] * m.levels for name, m in known.file.modalities.items()}
    rng = random.Random(0)
    uniform = Alphas(known).mixing(softmax)
    drawn = [draw(known, uniform, layers, rng) for _ in range(200)]
    assert all(known.problems(a) == [] for a in drawn) and len(set(drawn)) > 40
    sure = known.sample(random.Random(5), nodes=2)
    again = draw(known, one_hot(known, sure), dict(sure.layers) | layers, rng)
    assert [node.operator for node in again.nodes] == [node.operator for node in sure.nodes]
    assert set(again.points()) == set(sure.points()) and again.output == NodeRef(1)


def test_a_decided_slot_is_taken_from_the_others() -> None:
    known = tiny_space(nodes=1, inputs="2", operators=("additive",))
    alphas = Alphas(known)
    alphas.decide("alpha.0", 0, 2)
    weights = alphas.mixing(softmax).slots[0]
    assert weights[0].tolist() == torch.eye(weights.shape[1])[2].tolist() and float(weights[1, 2].detach()) == 0.0
    assert known.points()[2] == Point("b", 0)


def test_decoders_are_for_relaxed_methods() -> None:
    with pytest.raises(SpaceError, match=r"search.decoder: 'sampeld' is not a decoder \(did you mean 'sampled'\?\)"):
        space(SMALL, "search.method=darts", "search.decoder=sampeld")
    with pytest.raises(SpaceError, match="search.decoder: 'default' decodes nothing; methods that do: bm_nas, darts"):
        space(SMALL, "search.decoder=sampled")


def test_shared_weights_score_on_while_a_budget_of_seconds_lasts(tmp_path: Path) -> None:
    known = space(PLANTED, "search.method=spos", "fusion.nodes=3", "search.budget={seconds: 80}")
    ticks = itertools.count()
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        problem, clock = Problem(known, data(PLANTED), 3), lambda: float(next(ticks))
        found = methods["spos"](Task(problem, run, QuietProgress(stages=False), clock=clock))
    assert found.facts["scored"] > 10 * 20  # the generations without a budget, all of their children new
