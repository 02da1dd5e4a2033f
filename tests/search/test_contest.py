"""Stacks are a function of the order of candidates alone; workers, kills and timings change nothing."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fusionnas.architecture import Point
from fusionnas.execution.local import LocalExecutor
from fusionnas.run.unit import Checkpoint
from fusionnas.search.cache import Cache
from fusionnas.search.contest import SAME_WIRING, Contest, stacks
from fusionnas.search.halving import Ranking, halve
from fusionnas.search.heads import Candidate, HeadSettings, SequentialHeads
from fusionnas.search.stack import HeadStack, largest_stack
from fusionnas.search.stacking import measure, stacking_pays
from fusionnas.space import SearchSpace

SPACE = SearchSpace.parse(
    "{name: two, task: {kind: binary}, modalities: {a: {kind: vector, encoder: mlp, levels: 1}, "
    "b: {kind: vector, encoder: mlp, levels: 1}}, fusion: {nodes: 2, width: 8, operators: [additive, mlp]}}"
)
SETTINGS = HeadSettings(width=8, outputs=1, batch_size=8)


def random_cache(size: int, seed: int, points: tuple[Point, ...] = SPACE.points()) -> Cache:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(size, len(points), 8, generator=generator)
    present = torch.ones(size, len(points), dtype=torch.bool)
    return Cache(points, vectors, present, None, None, (vectors[:, 0, 0] * vectors[:, 2, 0] > 0).long())


CONTEST = Contest(random_cache(64, 1), random_cache(32, 2), SETTINGS, seed=5)


def members(count: int) -> list[Candidate]:
    rng = random.Random(0)
    return [Candidate(SPACE.sample(rng), seed) for seed in range(count)]


def test_stacks_share_operators_and_large_ones_their_wiring() -> None:
    found = list(stacks(members(900), 128))
    assert sorted(place for stack in found for place, _ in stack) == list(range(900))
    for stack in found:
        assert len(stack) <= 128 and len({c.operators for _, c in stack}) == 1
    uniform = [stack for stack in found if len({c.wiring for _, c in stack}) == 1 and len(stack) >= SAME_WIRING]
    assert len(uniform) > 4


def test_candidates_are_drawn_as_they_are_needed() -> None:
    drawn = itertools.count()

    def endless() -> Iterator[Candidate]:
        candidate = members(1)[0]
        while True:
            next(drawn)
            yield candidate

    number, stack, losses = next(CONTEST.losses(endless(), [1.0], seed=0))
    assert number == 0 and len(stack) == len(losses) == CONTEST.largest
    assert next(drawn) <= 3 * CONTEST.largest


def ranking(contest: Contest, checkpoint: Checkpoint | None = None, watch=lambda *_: None) -> Ranking:
    return halve(members(60), contest, rungs=(1, 1), eta=3, keep=4, watch=watch, checkpoint=checkpoint)


def test_workers_change_nothing() -> None:
    with contextlib.closing(LocalExecutor(2)) as executor:
        assert ranking(replace(CONTEST, executor=executor)) == ranking(CONTEST)


class Stop(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_ranking_that_was_stopped_goes_on_to_the_same(tmp_path: Path, stop: int) -> None:
    told: list[tuple[str, int]] = []

    def watch(stage: str, done: int, expected: int) -> None:
        told.append((stage, done))
        if len(told) == stop + 1:
            raise Stop

    with pytest.raises(Stop):
        ranking(CONTEST, Checkpoint(tmp_path, 0), watch)
    again: list[tuple[str, int]] = []
    resumed = ranking(CONTEST, Checkpoint(tmp_path, 0), lambda stage, done, expected: again.append((stage, done)))
    assert resumed == ranking(CONTEST)
    assert [*told[:stop], *again] == sorted({*told, *again})  # nothing that was saved is done again


def test_measured_choice_between_stacked_and_sequential_changes_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = measure(("additive", "mlp"), SETTINGS)
    assert set(timings) == {"additive", "mlp"}
    assert all(t["stacked"] > 0 and t["sequential"] > 0 for t in timings.values())
    fast, slow = {"stacked": 1.0, "sequential": 2.0}, {"stacked": 3.0, "sequential": 1.0}
    assert stacking_pays({"mlp": fast}, ("mlp", "unknown")) and not stacking_pays({"mlp": slow}, ("mlp",))
    assert not stacking_pays({"mlp": fast, "additive": slow}, ("mlp", "additive"))
    assert not stacking_pays({"mlp": {"stacked": 0.95, "sequential": 1.0}}, ("mlp",))  # as good as nothing gained
    trained = []
    for kind in (HeadStack, SequentialHeads):
        fit = kind.fit
        told = lambda self, *a, fit=fit, **k: (trained.append(type(self)), fit(self, *a, **k))  # noqa: E731
        monkeypatch.setattr(kind, "fit", told)
    alike = [c for c in members(60) if c.operators == ("mlp",)]
    results = []
    for choice in (fast, slow):
        contest = replace(CONTEST, timings={"mlp": choice})
        results.append(torch.cat([losses for _, _, losses in contest.losses(alike, [1.0], seed=0)]))
    assert trained == [HeadStack, SequentialHeads]
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_stacks_shrink_with_width_and_batch() -> None:
    shapes = ((16, 64), (32, 128), (64, 512), (256, 512), (4096, 4096))
    assert [largest_stack(HeadSettings(w, 1, b)) for w, b in shapes] == [128, 64, 8, 2, 1]
