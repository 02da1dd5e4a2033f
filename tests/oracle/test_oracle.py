"""Oracle tables: what stacks of whole networks train to, what a table answers, what a build writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from fusionnas.bench import oracle as bench
from fusionnas.bench.oracle import RIVALS, final_ranking, oracle, score_once
from fusionnas.data.base import Part
from fusionnas.errors import InputError
from fusionnas.execution.inline import InlineExecutor
from fusionnas.network import build, predict
from fusionnas.oracle import build as building
from fusionnas.oracle import load, problem, problems
from fusionnas.oracle.build import build_table
from fusionnas.oracle.problems import TEST_DRAWS
from fusionnas.oracle.table import Table
from fusionnas.oracle.training import _NetworkStack, train_networks
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.choice import kendall_tau
from fusionnas.search.contest import stacks
from fusionnas.search.finalists import Winner, choose
from fusionnas.search.heads import Candidate
from fusionnas.search.method import Task, methods
from fusionnas.training.randomness import derive, seeded


@pytest.mark.parametrize("name", list(problems))
def test_problems_are_fixed_balanced_and_disjoint(name: str) -> None:
    given, test = problem(name)
    again, _ = problem(name, seed=5)
    parts = [given.data.train, given.data.alpha, given.data.select, test]
    ids = [i for part in parts for i in part.ids]
    assert len(ids) == len(set(ids)) and again.seed == 5
    for part, other in zip(parts[:3], [again.data.train, again.data.alpha, again.data.select], strict=True):
        assert torch.equal(part.target, other.target)
        assert all(torch.equal(part.inputs[m].values, other.inputs[m].values) for m in part.inputs)
    counts = torch.bincount(given.data.train.target)
    assert counts.min() > 0.7 * counts.max()


@pytest.mark.parametrize("name", list(problems))
def test_only_what_is_random_differs_between_the_draws_of_a_test_part(name: str) -> None:
    given, test = problem(name)
    seen = {group for part in (given.data.train, given.data.alpha, given.data.select) for group in part.groups}
    assert not seen & set(test.groups) and len(test) == TEST_DRAWS * len(set(test.groups))
    size = len(test) // TEST_DRAWS
    first, second = test.rows(torch.arange(size)), test.rows(torch.arange(size, 2 * size))
    assert torch.equal(first.target, second.target) == (name != "product")  # the same digits; other samples
    for modality in test.inputs:
        one, other = (part.inputs[modality].values.flatten(1) for part in (first, second))
        alike = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert abs(alike) < 0.05 if name == "product" else 0.2 < alike < 0.95
    # The rule that makes labels is the same in all draws: least squares on products, learned on one, holds on another.
    if name == "product":
        known = _products(given.data.train)
        rule = torch.linalg.lstsq(known, 2.0 * given.data.train.target[:, None] - 1).solution
        right = ((_products(second) @ rule > 0).squeeze(1) == second.target.bool()).float().mean()
        assert right > 0.8


def _products(part: Part) -> torch.Tensor:
    a, b, c = (part.inputs[m].values.flatten(1) for m in ("a", "b", "c"))
    return torch.cat([(a[:, :, None] * b[:, None]).flatten(1), c], 1)


def test_a_stack_of_whole_networks_is_those_networks() -> None:
    given, test = problem("quadrants")
    few = test.rows(torch.arange(40))
    architectures = list(given.space.enumerate())
    for stack in list(stacks((Candidate(a, 0) for a in architectures[::37]), 8))[::6]:
        members = [candidate.architecture for _, candidate in stack]
        with torch.no_grad():
            together = _NetworkStack(given, members, 3)(few)
            for logits, architecture in zip(together, members, strict=True):
                with seeded(derive(3, "oracle", architecture.id)):
                    alone = build(given.space, architecture, given.data.signature)
                torch.testing.assert_close(logits, predict(alone, few.inputs), rtol=1e-4, atol=1e-5)


def test_training_learns_and_is_the_same_twice() -> None:
    given, test = problem("views", overrides=["training.epochs=3"])
    members = [a for a in given.space.enumerate() if [n.operator for n in a.nodes] == ["mlp"]][:4]
    first, again = (train_networks(given, test, members, 1) for _ in range(2))
    assert torch.equal(first.select_loss, again.select_loss) and first.select_loss.shape == (4, 3)
    assert (first.select_loss[:, -1] < first.select_loss[:, 0]).all()
    assert (first.test_right[:, -1] > 0.3 * len(test)).all()


@pytest.mark.parametrize("name", list(problems))
def test_published_tables_are_what_training_gives(name: str) -> None:
    given, test = problem(name)
    table = load(name)
    assert table.sizes == (len(given.data.select), len(test))
    places = [p for p, a in enumerate(table.architectures) if [n.operator for n in a.nodes] == ["gated"]][:6]
    curves = train_networks(given, test, [table.architectures[p] for p in places], 2)
    for trained, stored in ((curves.select_loss, table.select_loss), (curves.test_right, table.test_right)):
        # Another processor rounds otherwise: so near, beside another seed's training.
        apart = np.abs(trained.numpy()[:, None, -1] - stored[places, :, -1].astype(float)).mean(0)
        assert apart[2] < 0.5 * min(apart[0], apart[1])
    assert (100 * table.test_right > 2**16).any()  # counts are no 16-bit numbers, which would overflow here


def fake_table() -> Table:
    architectures = tuple(problem("views")[0].space.enumerate())
    generator = np.random.default_rng(0)
    shape = (len(architectures), 3, 20)
    right = generator.integers(0, 300, shape).astype(np.int32)
    loss = generator.random(shape).astype(np.float16)
    return Table("views", architectures, loss, right, right, (359, 360))


def test_a_table_answers_and_survives_the_file(tmp_path: Path) -> None:
    table = fake_table()
    table.save(tmp_path / "views.npz")
    read = load("views", tmp_path)
    architecture = table.architectures[100]
    for seed, epoch in ((0, 1), (2, None)):
        scores = read.query(architecture, seed=seed, epoch=epoch)
        at = 100, seed, (epoch or 20) - 1
        assert scores.select_loss == float(table.select_loss[at])
        assert scores.test_accuracy == table.test_right[at] / 360
    assert read.regret(read.best) == 0 and read.regret(architecture) > 0 and len(read.exhaustive_regret()) == 3
    assert architecture in read and read.seeds == 3 and read.epochs == 20


def test_exhaustive_regret_can_leave_out_the_luck_of_the_choice() -> None:
    table = fake_table()
    lucky = int(table.select_loss[:, 1, -1].argmin())
    table.test_right[lucky, :, -1] = 120, 300, 180
    told, fresh = table.exhaustive_regret()[1], table.exhaustive_regret(fresh=True)[1]
    assert fresh - told == pytest.approx(100 * (200 - 150) / 360)


def test_what_a_table_does_not_have_is_told(tmp_path: Path) -> None:
    table = fake_table()
    with pytest.raises(InputError, match=r"(?s)no such training.*seed: given 7.*epoch: given 21, the table has"):
        table.query(table.best, seed=7, epoch=21)
    other = next(iter(problem("product")[0].space.enumerate()))
    with pytest.raises(InputError, match="is not in the oracle table 'views'"):
        table.regret(other)
    with pytest.raises(InputError, match="no oracle table 'veiws'. Did you mean 'views'"):
        load("veiws")
    with pytest.raises(InputError, match="build it: fusionnas bench oracle build views"):
        load("views", tmp_path)
    stored = dict(np.load(_saved(table, tmp_path)))
    stored["ids"][0] += 1
    np.savez(tmp_path / "views.npz", allow_pickle=False, **stored)
    with pytest.raises(InputError, match="another version of the space"):
        load("views", tmp_path)


def _saved(table: Table, folder: Path) -> Path:
    table.save(folder / "views.npz")
    return folder / "views.npz"


def test_a_build_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = lambda name: problem(name, overrides=["fusion.nodes=1", "fusion.operators=[mlp]", "training.epochs=1"])  # noqa: E731
    monkeypatch.setattr(building, "problem", small)
    trained = []
    inner = building._train
    monkeypatch.setattr(building, "_train", lambda *a: (trained.append(a[2]), inner(*a)))
    table = build_table("views", tmp_path, executor=InlineExecutor(), progress=QuietProgress(stages=False))
    assert sorted(trained) == [0, 0, 1, 1, 2, 2]  # points and pairs, three seeds
    assert len(table.architectures) == 6 + 15 and table.epochs == 1
    assert [f.name for f in tmp_path.iterdir()] == ["views.npz"]
    parts = tmp_path / "views.parts"
    parts.mkdir()
    for seed in range(3):
        right, loss = np.full((6, 1), 7, np.uint16), np.zeros((6, 1), np.float16)
        np.savez(parts / f"0-{seed}.npz", select_loss=loss, select_right=right, test_right=right)
    trained.clear()
    again = build_table("views", tmp_path, executor=InlineExecutor(), progress=QuietProgress(stages=False))
    assert sorted(trained) == [0, 1, 2] and (again.test_right[:6] == 7).all()
    assert (again.test_right[6:] == table.test_right[6:]).all()


@pytest.mark.slow
def test_a_method_is_scored_by_a_table() -> None:
    table = fake_table()
    row = score_once("random", ("search.options.candidates=4", "search.options.epochs=1"), table, 100)
    assert row["table"] == "views" and row["seed"] == 100 and float(row["seconds"]) > 0
    chosen = next(a for a in table.architectures if str(a) == row["architecture"])
    assert row["regret"] == f"{table.regret(chosen):.3f}"


@pytest.mark.parametrize("rival", RIVALS)
def test_every_rival_is_a_method_with_settings_that_hold(rival: str) -> None:
    method, *settings = rival.split(":")
    overrides = [f"search.method={method}", *(f"search.{setting}" for setting in settings)]
    assert method in methods and problem("views", overrides=overrides)[0].space.file.search.method == method


def test_what_is_scored_is_the_choice_and_the_ranking_of_a_whole_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        "search.method=random", "search.options.candidates=6", "search.options.epochs=1", "search.finalists=4",
        "search.folds=2", "training.epochs=2",
    ]  # fmt: skip
    winners: list[Winner] = []
    monkeypatch.setattr(bench, "choose", lambda *given: winners.append(choose(*given)) or winners[-1])
    row = score_once("random", settings[1:], load("views"), 100)
    given, _ = problem("views", seed=100, overrides=settings)
    with Run.create(tmp_path / "run", space=given.space, settings={}) as run:
        task = Task(given, run, QuietProgress(stages=False))
        whole = choose(task, methods["random"](task))
    assert row["architecture"] == str(whole.architecture)
    ranking = final_ranking(winners[0])
    assert ranking == final_ranking(whole) and len(ranking) >= 4 + 5
    table, by = load("views"), {row["id"]: row for row in whole.table}
    assert [by[name]["folds"] for name in ranking] == sorted((row["folds"] for row in whole.table), reverse=True)
    truth = {a.id: float(table.test_accuracy[place]) for place, a in enumerate(table.architectures)}
    tau = kendall_tau([-float(place) for place in range(len(ranking))], [truth[name] for name in ranking])
    assert tau is not None and row["tau"] == f"{tau:.3f}"
    first, second, third = table.test_right[[table.place(a) for a in table.architectures if a.id in ranking], :, -1].T
    pairs = [(first, second + third), (second, first + third), (third, first + second)]
    limit = np.mean([kendalltau(*pair).statistic for pair in pairs])
    assert float(row["tau_of_test"]) == pytest.approx(limit, abs=1e-3)


def test_one_proposal_is_the_choice() -> None:
    row = score_once("darts", ("search.epochs=1", "search.folds=2", "training.epochs=1"), load("views"), 100)
    assert row["tau"] == "" and float(row["regret"]) > 0


@pytest.mark.parametrize("words", [("bild",), ("score",), ("compare", "veiws"), ("build", "veiws")])
def test_what_cannot_be_asked_of_the_benchmark_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="METHOD .* of quadrants, views, product") as error:
        oracle(tmp_path / "o.csv", seed=0, workers=1, progress=QuietProgress(stages=False), words=words)
    assert ("Did you mean 'views'?" in str(error.value)) == ("veiws" in words)
