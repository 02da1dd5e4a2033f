"""The benchmark of a search's speed compares the same things, and measures what it says."""

from __future__ import annotations

import itertools

import pytest
import torch

from fusionnas.bench.alternated import alternated, one_thread
from fusionnas.bench.search import DEFAULT, PARTS, search
from fusionnas.bench.search_heads import (
    SPACES,
    _contest,
    _heads,
    _problem,
    _Products,
    _random_cache,
    chosen,
    products,
    stacked,
)
from fusionnas.bench.search_replay import replay
from fusionnas.bench.search_steps import _as_published, _errors, _exact, _unrecorded, compared, compiled, scene
from fusionnas.errors import InputError
from fusionnas.run.progress import QuietProgress
from fusionnas.search.heads import Candidate, HeadSettings
from fusionnas.search.stack import HeadStack
from fusionnas.search.steps import Steps
from fusionnas.training.replay import AFTER


def test_contestants_take_turns_in_blocks() -> None:
    order: list[str] = []
    seconds = alternated({n: lambda n=n: order.append(n) for n in "ab"}, blocks=2, seconds=1e-9)
    assert [name for name, _ in itertools.groupby(order)] == ["a", "b"] * 4  # once, how long it takes, two blocks
    assert set(seconds) == {"a", "b"} and min(seconds.values()) > 0


def test_one_thread_only_inside() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_published_second_order_is_ours_by_differences() -> None:
    at = scene(0, 16)
    before = [p.detach().clone() for p in at.supernet.parameters()]
    ours, published = _unrecorded(at, differences=True), _as_published(at)
    assert any(bool(gradient.any()) for gradient in published)
    for a, b in zip(ours, published, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    for a, b in zip(before, at.supernet.parameters(), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-5)


def test_what_is_timed_as_ours_is_what_a_search_does_before_and_after_it_is_recorded() -> None:
    at = scene(0, 16)
    steps, plain = Steps(at.supernet), _unrecorded(at)
    for _ in range(AFTER + 3):
        for a, b in zip(_exact(at, steps), plain, strict=True):
            assert torch.equal(a, b)


def test_the_implicit_term_is_exact_in_32_bits_and_differences_are_not() -> None:
    exact, paper = _errors(scene(0, 16))
    assert exact < 1e-4 and exact < paper


@pytest.mark.slow
def test_the_compiled_supernet_computes_what_the_plain_loop_does() -> None:
    (row,) = compiled(0, sizes=[8], backend="eager", seconds=0.005)
    assert row["setting"].startswith("batch 8, compiled in ") and float(row["ratio"]) > 0
    loss, gradients = (float(part.split()[-1]) for part in row["error"].split(", "))
    assert loss < 1e-5 and gradients < 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch.compile itself warns of its own ways
def test_compiled_stacks_stand_beside_heads_one_by_one() -> None:
    rows = stacked(steps=1, backend="eager")
    assert all("stacked heads compiled" in row["part"] and float(row["ratio"]) > 1 for row in rows)


def test_a_recorded_step_gives_the_gradients_of_one_that_is_not() -> None:
    (row,) = replay(0, widths=[8], seconds=1e-3)
    assert row["setting"] == "width 8, batch 64" and row["error"] == "gradients 0e+00" and float(row["ratio"]) > 0


def test_a_row_says_ratio_and_milliseconds() -> None:
    row = compared("part", "setting", {"ours": 0.001, "other": 0.0025}, "", ">= 2")
    assert (row["ours"], row["other"], row["ratio"]) == ("1.00 ms", "2.50 ms", "2.50")


def test_spaces_are_as_large_as_asked_for() -> None:
    for least in SPACES:
        assert _problem(least, 0).space.graphs() >= least


def test_heads_of_the_benchmark_train(tmp_path) -> None:
    given = _problem(5_000, 0)
    members = [Candidate(a, 0) for a in itertools.islice(given.space.enumerate(), 20)]
    with _contest(given, 1) as contest:
        losses = {place: row for _, stack, found in contest.losses(members, [1.0] * 2, seed=0)
                  for (place, _), row in zip(stack, found, strict=True)}  # fmt: skip
    assert sorted(losses) == list(range(20))
    assert all(float(row.mean()) < 2.3 for row in losses.values())  # less than a uniform guess among ten digits


def test_the_products_of_a_step_are_all_that_is_computed_again() -> None:
    (row,) = products(names=["mlp"], seconds=0.01)
    assert row["setting"].startswith("1 operator sequences") and float(row["ratio"]) > 0
    heads = _heads(HeadStack, ("mlp", "mlp"), 2, HeadSettings(4, 3, 8))
    with _Products() as seen:
        heads.fit(_random_cache(HeadSettings(4, 3, 8), 1), [1.0], seed=0)
    # Forward: two maps per perceptron, the readout. Backward: each weight, and each input but that of the first map.
    assert len(seen._calls) == 5 + 5 + 4


def test_the_way_measured_to_pay_is_named() -> None:
    (row,) = chosen(sizes=[(16, 8)], seconds=0.005)
    assert row["setting"].startswith("width 16, batch 8: ") and float(row["ratio"]) > 0


def test_parts_that_do_not_exist_are_told(tmp_path) -> None:
    with pytest.raises(InputError, match="expected some of packed, replay, compiled") as error:
        search(tmp_path / "s.csv", seed=0, workers=1, progress=QuietProgress(), words=("halvin", "x"))
    assert "'halvin'. Did you mean 'halving'?" in str(error.value) and "'x'" in str(error.value)
    assert set(PARTS) - set(DEFAULT) == {"million"}
