"""Candidates of sampled methods: proposals, mutation, rungs; what trains whole networks is not trained again."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.compose import compose
from fusionnas.search.evaluations import Evaluations, Sampling
from fusionnas.search.method import Problem, Task
from fusionnas.search.methods.halving import Options, bracket, rung_epochs
from fusionnas.search.mutation import mutated
from fusionnas.space import SearchSpace
from tests.search.test_methods import SMALL, data, space
from tests.spaces import tiny_space


def task(run: Run, known: SearchSpace) -> Task:
    return Task(Problem(known, data(SMALL), 3), run, QuietProgress(stages=False))


def test_answers_give_every_architecture_of_a_space_and_no_other() -> None:
    known = tiny_space(nodes=2, inputs="2", operators=("additive", "multiplicative"))
    rng = random.Random(0)
    asked: dict[str, list[str]] = {}

    def pick(name: str, options: list[str]) -> str:
        assert asked.setdefault(name, options) == options  # a question always has the same answers
        return rng.choice(options)

    drawn = [compose(known, pick) for _ in range(400)]
    assert all(known.problems(a) == [] for a in drawn)
    assert {len(a.nodes) for a in drawn} == {0, 1, 2} and len(set(drawn)) > 150


def test_an_operator_that_may_only_stand_last_does() -> None:
    known = tiny_space(nodes=2, inputs="2", operators=("late_logits", "additive"))
    rng = random.Random(0)
    drawn = [compose(known, lambda name, options: rng.choice(options)) for _ in range(200)]
    assert all(known.problems(a) == [] for a in drawn)
    assert any(a.nodes and a.nodes[-1].operator == "late_logits" for a in drawn)


def test_a_mutation_changes_fusion_layers_or_both_as_often() -> None:
    known = tiny_space(nodes=2, inputs="2", operators=("additive", "multiplicative"))
    rng = random.Random(1)
    parent = next(a for a in iter(lambda: known.sample(rng, nodes=2), None) if dict(a.layers).get("b"))
    kinds: Counter[tuple[bool, bool]] = Counter()
    for _ in range(120):
        child = mutated(known, parent, rng)
        assert known.problems(child) == []
        common = dict(parent.layers).keys() & dict(child.layers).keys()
        short = {n: min(len(dict(parent.layers)[n]), len(dict(child.layers)[n])) for n in common}
        layers = any(dict(parent.layers)[n][:k] != dict(child.layers)[n][:k] for n, k in short.items())
        kinds[(child.nodes, child.output) != (parent.nodes, parent.output), layers] += 1
    assert kinds[True, False] > 20 and kinds[False, True] > 20 and kinds[True, True] > 10


def test_rungs_end_with_the_epochs_asked_for_and_begin_where_heads_may(tmp_path: Path) -> None:
    known = space(SMALL, "search.method=halving")
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        for steps, expected in ((1, [1, 3, 9, 27]), (20, [7, 9, 27]), (70, [24, 27])):
            found = Evaluations(task(run, known), Options(steps=steps))
            assert rung_epochs(found, 3) == expected


def test_a_bracket_keeps_one_in_eta_and_the_longest_trained_lead(tmp_path: Path) -> None:
    known = space(SMALL, "search.method=halving")
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        found = Evaluations(task(run, known), Options(steps=1))
        trained = bracket(found, found.unknown(9, random.Random(0)), [1, 3], 3)
        assert [len(members) for members in trained] == [9, 3]
        assert set(trained[1]) == set(trained[0][:3]) and found.ranked()[:3] == trained[1]
        assert found.budget.spent == 4 + 9 * 1 + 3 * 3  # the supernet's epochs among them


def test_whole_networks_are_trained_as_finalists_are(tmp_path: Path) -> None:
    known = space(SMALL, "search.method=random")
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        found = Evaluations(task(run, known), Sampling(train="networks"))
        drawn = found.unknown(3, random.Random(0))
        assert found.train(drawn) == drawn
        assert sorted(run.units()) == sorted(f"retrain/{a.id}/0" for a in drawn)
        result = found.found()
        assert result.facts["history"] == [] and result.facts["spent"] == {"epochs": 3.0 * 2}
        assert result.finalists[0] == min(drawn, key=lambda a: found.scores[a].loss)


@pytest.mark.parametrize("epochs", [4, 7, 13, 29])
def test_a_budget_is_never_exceeded_and_used_to_the_last_candidate(tmp_path: Path, epochs: int) -> None:
    known = space(SMALL, "search.method=random", f"search.budget={{epochs: {epochs}}}", "search.epochs=2")
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        found = Evaluations(task(run, known), Sampling(steps=6))
        found.train(found.unknown(30, random.Random(0)), 2)
        assert epochs - 2 < found.budget.spent <= epochs and found.scores
