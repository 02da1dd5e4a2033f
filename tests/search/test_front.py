"""Several objectives and constraints: what is proposed, chosen and told."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import pytest

from fusionnas.cost import Costs, measure_costs
from fusionnas.errors import InputError, SpaceError
from fusionnas.network import build
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.finalists import choose
from fusionnas.search.front import proposed
from fusionnas.search.method import Found, Problem, Task, methods
from fusionnas.search.objective import Judge, objectives
from fusionnas.search.references import named
from fusionnas.space import SearchSpace
from tests.search.test_methods import SMALL, data, quick, space

BOTH = "search.objective=[accuracy, parameters]"


@functools.cache
def costs() -> Costs:
    """Of the small space, measured once."""
    known = space(SMALL)
    references = named(known, {"a": ("mlp",), "b": ("gru",)}).values()
    return measure_costs(known, data(SMALL).signature, batch=4, also=references)


def task(run: Run, known: SearchSpace) -> Task:
    return Task(Problem(known, data(SMALL), 3, costs=costs()), run, QuietProgress(stages=False))


def chosen(folder: Path, *overrides: str):
    known = space(SMALL, "search.folds=2", *overrides)
    with Run.create(folder / "run", space=known, settings={}) as run:
        here = task(run, known)
        layers = {"a": ("mlp",), "b": ("tcn",)}
        finalists = [known.architecture([], output=point, layers=layers) for point in known.points()]
        return here, choose(here, Found(tuple(finalists), layers, {}))


def test_costs_are_those_of_the_built_network() -> None:
    known = space(SMALL)
    problem, bare = Problem(known, data(SMALL), 0, costs=costs()), Problem(known, data(SMALL), 0)
    for architecture in list(known.enumerate())[::60]:
        network = build(known, architecture, data(SMALL).signature)
        expected = sum(p.numel() for p in network.parameters())
        assert objectives["parameters"].cost(problem, architecture) == expected
        assert objectives["parameters"].cost(bare, architecture) == expected
        assert objectives["modalities"].cost(problem, architecture) == len(architecture.modalities)
        assert objectives["macs"].cost(problem, architecture) == costs().macs(architecture)
        assert objectives["latency_ms"].cost(problem, architecture) == costs().latency_ms(architecture) > 0


def test_finalists_are_the_front_of_loss_and_costs_and_what_misses_a_limit_is_left_out(tmp_path: Path) -> None:
    known = space(SMALL, BOTH)
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        judge = Judge(task(run, known))
        few = sorted(known.enumerate(), key=lambda a: judge.cost("parameters", a))[::12]
        losses = {a: 1.0 - 0.1 * i for i, a in enumerate(few)}  # the larger, the better: all on the front
        losses[few[2]] = 2.0
        finalists, facts = proposed(judge, losses, 3)
        assert few[2] not in finalists and len(finalists) == 3 and finalists[0] == few[-1]
        assert few[2].id not in {row["id"] for row in facts["front"]}
        assert [row["loss"] for row in facts["front"]] == sorted(row["loss"] for row in facts["front"])
        limit = judge.cost("parameters", few[1])
    known = space(SMALL, f"search.constraints.parameters={limit}")
    with Run.create(tmp_path / "limited", space=known, settings={}) as run:
        judge = Judge(task(run, known))
        assert proposed(judge, losses, 9) == (tuple(a for a in losses if judge.cost("parameters", a) <= limit), {})
        assert judge.excess(few[1]) == 0 < judge.excess(few[2])


def test_with_several_objectives_the_knee_of_the_front_is_taken(tmp_path: Path) -> None:
    here, winner = chosen(tmp_path, BOTH)
    front = winner.front
    assert front["objectives"] == ["accuracy", "parameters"] and 0 < front["hypervolume"] <= 1
    rows = front["front"]
    assert [r["accuracy"] for r in rows] == sorted((r["accuracy"] for r in rows), reverse=True)
    assert [r["parameters"] for r in rows] == sorted((r["parameters"] for r in rows), reverse=True)
    assert front["recommended"] in {row["id"] for row in rows} and front["found"] == winner.architecture.id
    assert len({row["id"] for row in winner.table}) == len(winner.table)
    parameters = objectives["parameters"].cost(here.problem, winner.architecture)
    assert parameters <= max(row["parameters"] for row in rows)


def test_without_objectives_there_is_no_front(tmp_path: Path) -> None:
    assert chosen(tmp_path)[1].front is None


def test_no_candidate_breaks_a_constraint_and_where_all_do_it_is_told(tmp_path: Path) -> None:
    limit = 120
    here, winner = chosen(tmp_path, f"search.constraints.parameters={limit}")
    cost = objectives["parameters"].cost
    assert cost(here.problem, winner.architecture) <= limit
    assert len(winner.table) < len(chosen(tmp_path / "free")[1].table)
    with pytest.raises(InputError, match="constraints.parameters: at most 3, and only .*, which comes closest, has"):
        chosen(tmp_path / "none", "search.constraints.parameters=3")


@pytest.mark.parametrize("name", ["default", "nsga2", "random"])
def test_methods_propose_a_front_within_the_constraints(name: str, tmp_path: Path) -> None:
    known = space(SMALL, *quick(name), BOTH, "search.constraints.modalities=1", "search.finalists=4")
    with Run.create(tmp_path / "run", space=known, settings={}) as run:
        found = methods[name](task(run, known))
    assert all(len(a.modalities) == 1 for a in found.finalists)
    rows = found.facts["front"]
    assert all(later["parameters"] < row["parameters"] for row, later in itertools.pairwise(rows))


def test_heads_that_break_a_constraint_do_not_compete_and_a_hopeless_one_ends_the_search(tmp_path: Path) -> None:
    for pool in ("evolve", "all"):
        known = space(SMALL, "search.constraints.parameters=130", f"search.pool={pool}", "search.stacking=true")
        with Run.create(tmp_path / pool, space=known, settings={}) as run:
            here = task(run, known)
            found = methods["default"](here)
            assert 0 < found.facts["contestants"] < known.graphs()
            shortlist = [row["id"] for row in found.facts["shortlist"]]
            judged = {a.id: Judge(here).keeps(a) for a in known.enumerate(found.layers)}
            assert all(judged.get(architecture, True) for architecture in shortlist)
    known = space(SMALL, "search.constraints.parameters=3")
    with Run.create(tmp_path / "none", space=known, settings={}) as run, pytest.raises(InputError, match="at most 3,"):
        methods["default"](task(run, known))


def test_objectives_and_constraints_are_checked() -> None:
    with pytest.raises(SpaceError, match=r"objective\[1\]: 'parametres' is not an? objective \(did you mean 'param"):
        space(SMALL, "search.objective=[accuracy, parametres]")
    with pytest.raises(SpaceError, match="search.objective: needs one metric of prediction, .* accuracy; given none"):
        space(SMALL, "search.objective=[parameters]")
    with pytest.raises(SpaceError, match="given accuracy and log_loss"):
        space(SMALL, "search.objective=[accuracy, log_loss]")
    with pytest.raises(SpaceError, match=r"search.objective\[0\]: 'roc_auc' is for binary tasks"):
        space(SMALL, "search.objective=[roc_auc, macs]", kind="multiclass")
    with pytest.raises(SpaceError, match="constraints.accuracy: 'accuracy' is not a cost .known: latency_ms, macs"):
        space(SMALL, "search.constraints.accuracy=0.9")
    with pytest.raises(SpaceError, match="search.constraints.macs: given 0, expected more than 0"):
        space(SMALL, "search.constraints.macs=0")
