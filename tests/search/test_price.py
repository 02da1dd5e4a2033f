"""Cost in the search: measured once per run; its weight moves the alphas."""

from __future__ import annotations

from pathlib import Path

from fusionnas.cost import expected_cost
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.method import Problem, Task
from fusionnas.search.methods.darts import darts
from fusionnas.search.price import measured_costs, price
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas
from fusionnas.supernet.mixing import softmax
from tests.spaces import tiny_data, tiny_space


def heavier(weight: float, **changes: object) -> SearchSpace:
    space = tiny_space()
    cost = space.file.search.cost.model_copy(update={"weight": weight, "measure": "macs", **changes})
    moved = {"cost": cost, "epochs": 3, "warmup": 0.0, "alpha_rate": 0.1}
    search = space.file.search.model_copy(update=moved)
    return SearchSpace(space.file.model_copy(update={"search": search}))


def search_with(weight: float, folder: Path) -> float:
    space, data = heavier(weight), tiny_data()
    with Run.create(folder, space=space, settings={"seed": 0}) as run:
        task = Task(Problem(space, data, 0, costs=measured_costs(space, data, run)), run, QuietProgress())
        darts(task)
        tensors = run.unit("search/supernet", lambda checkpoint: (_ for _ in ()).throw(AssertionError)).tensors
        alphas = Alphas(space)
        alphas.load_state_dict({k.removeprefix("alphas."): v for k, v in tensors.items() if k.startswith("alphas.")})
        assert task.problem.costs is not None
        return float(expected_cost(space, task.problem.costs, "macs")(alphas.mixing(softmax)).detach())


def test_the_heavier_cost_weighs_the_cheaper_the_mixture_that_darts_learns(tmp_path: Path):
    free, some, much = (search_with(w, tmp_path / str(w)) for w in (0.0, 1.0, 30.0))
    assert much < some < free


def test_up_to_the_target_nothing_is_paid(tmp_path: Path):
    space, data = heavier(1.0, target=1e9), tiny_data()
    with Run.create(tmp_path / "run", space=space, settings={"seed": 0}) as run:
        costs = measured_costs(space, data, run)
        mixing = Alphas(space).mixing(softmax)
        assert float(price(Problem(space, data, 0, costs=costs), mixing)(mixing).detach()) == 0.0
        untargeted = price(Problem(heavier(1.0), data, 0, costs=costs), mixing)
        assert abs(float(untargeted(mixing).detach()) - 1.0) < 1e-6


def test_costs_are_measured_once_per_run(tmp_path: Path):
    space, data = tiny_space(), tiny_data()
    with Run.create(tmp_path / "run", space=space, settings={"seed": 0}) as run:
        first = measured_costs(space, data, run)
        assert measured_costs(space, data, run) == first
