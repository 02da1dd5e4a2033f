"""Which heads compete: references, then a sample, generations, or the whole space, each once."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from fusionnas.run import Run
from fusionnas.run.unit import Checkpoint
from fusionnas.search.cache import Cache
from fusionnas.search.contest import Contest
from fusionnas.search.evolving import evolve
from fusionnas.search.heads import Candidate, HeadSettings
from fusionnas.search.pool import Candidates, Pool, pool
from fusionnas.space import SearchSpace
from tests.search.test_contest import random_cache
from tests.spaces import DECISIONS, tiny_space


def layers_of(space: SearchSpace) -> dict[str, tuple[str, ...]]:
    return {name: m.encoder[-1:] * m.levels for name, m in space.file.modalities.items()}


def drawn(space: SearchSpace, heads: int | None, seed: int = 0) -> Pool:
    return pool(space, layers_of(space), heads=heads, rng=random.Random(seed))


def test_a_small_space_is_tried_whole() -> None:
    space = tiny_space(nodes=1, inputs="2", operators=("additive", "mlp"))
    found = drawn(space, 1000)
    inside = [a for a in found if space.contains(a)]
    assert len(inside) == space.graphs() == 7 + 2 * 21  # seven points; pairs of seven points, two operators
    assert len(found) == len(list(found)) == len(set(found))
    assert found.rest is None and set(found) == set(drawn(space, None))


def test_all_share_the_layers_and_none_comes_twice() -> None:
    space = tiny_space()
    found = drawn(space, 60)
    assert len(list(found)) == len(set(found)) == len(found) == 60 + len(found.references)
    for architecture in found:
        assert all(chosen == layers_of(space)[name][: len(chosen)] for name, chosen in architecture.layers)
    assert list(found) == list(drawn(space, 60)) != list(drawn(space, 60, seed=1))
    candidates = Candidates(found, 7)
    assert len(candidates) == len(found) and {c.seed for c in candidates} == {7}
    assert Candidate(found.references[0], 7) in candidates and Candidate(found.references[0], 8) not in candidates


def test_the_whole_space_is_listed_anew_and_counted_without_listing() -> None:
    space = tiny_space(nodes=2, inputs="2", operators=("additive", "mlp"))
    everything = drawn(space, None)
    assert len(everything) == sum(1 for _ in everything) == sum(1 for _ in everything) == 640


def test_sequences_of_the_pool_decide_last_or_not_at_all() -> None:
    space = tiny_space(nodes=3, operators=("additive", "mlp", *DECISIONS))
    found = drawn(space, 60)
    assert all(space.problems(architecture) == [] for architecture in found.rest or ())
    assert {a.nodes[-1].operator for a in found if a.nodes} >= set(DECISIONS)


LARGE = SearchSpace.parse(
    "{name: large, task: {kind: binary}, modalities: {a: {kind: vector, encoder: mlp, levels: 2}, "
    "b: {kind: vector, encoder: mlp, levels: 2}, c: {kind: vector, encoder: mlp, levels: 2}}, "
    "fusion: {nodes: 1, width: 8, operators: [additive, multiplicative]}, search: {heads: 48, eta: 3, rungs: [1]}}"
)


def additive_cache(size: int, seed: int) -> Cache:
    """Points 0 and 4 decide the label together, each says half of it."""
    cache = random_cache(size, seed, LARGE.points())
    return replace(cache, target=(cache.vectors[:, 0, 0] + cache.vectors[:, 4, 0] > 0).long())


def test_generations_come_closer_to_what_trains_well() -> None:
    settings = HeadSettings(width=8, outputs=1, batch_size=200)
    contest = Contest(additive_cache(400, 1), additive_cache(200, 2), settings, seed=1)
    told: list[str] = []
    first = drawn(LARGE, 12)
    found = evolve(
        first, contest, LARGE.file.search, rng=random.Random(0), watch=lambda stage, done, expected: told.append(stage),
        unit=lambda name, compute: compute(Checkpoint(None, 0)),
    )  # fmt: skip
    assert list(dict.fromkeys(told)) == [f"generation {n} of 4" for n in (1, 2, 3, 4)]
    assert found.references == first.references and len(set(found)) == len(found)
    assert found.rest is not None and first.rest is not None
    deciding = {LARGE.points()[0], LARGE.points()[4]}
    assert not any(deciding <= set(architecture.points()) for architecture in first.rest)
    assert set(found.rest[0].points()) == deciding  # two of the 72 heads of this space, one change from half of it


def test_a_killed_evolution_goes_on_with_the_generation_that_it_was_in(tmp_path) -> None:
    settings = HeadSettings(width=8, outputs=1, batch_size=200)
    counted: list[list[tuple[int, int, int]]] = []
    runs = {name: Run.create(tmp_path / name, space=LARGE, settings={}) for name in ("whole", "killed")}

    def found(name: str, most: float) -> Pool:
        """At most so many stacks are trained; then the power fails."""
        asked: list[tuple[int, int, int]] = []
        trained: list[str] = []

        def watch(stage: str, done: int, expected: int) -> None:
            trained.append(stage)
            if len(trained) > most:
                raise KeyboardInterrupt

        contest = Contest(
            additive_cache(400, 1), additive_cache(200, 2), settings, seed=1,
            going=lambda *stack: asked.append(stack) is None,
        )  # fmt: skip
        try:
            return evolve(
                drawn(LARGE, 12), contest, LARGE.file.search, rng=random.Random(0), watch=watch, unit=runs[name].unit
            )
        finally:
            counted.append(asked)

    whole = found("whole", math.inf)
    with pytest.raises(KeyboardInterrupt):
        found("killed", 2 * len(counted[0]) // 4 + 1)
    assert [unit for unit in runs["killed"].units()] == ["search/generation/1", "search/generation/2"]
    left = len(counted[0]) - sum(len(facts["stacks"]) for facts in runs["killed"].units().values())
    assert found("killed", left) == whole
    assert counted[-1] == counted[0]  # who gives allowance is asked again, also for what is known
