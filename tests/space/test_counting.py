"""Size, enumeration and sampling agree with each other and with what is counted by hand."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fusionnas.architecture import Node, NodeRef
from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace
from fusionnas.space.counting import Graphs, OperatorRule
from fusionnas.space.schema import SpaceFile

ENCODERS = ("gru", "tcn", "attention")
OPERATORS = ("additive", "late_vote", "mlp", "cross_attention")


@st.composite
def small_spaces(draw: st.DrawFn, most: int = 3000) -> SearchSpace:
    count = draw(st.integers(1, 3))
    modalities = {
        f"m{i}": {
            "kind": "timeseries",
            "levels": draw(st.integers(0, 2)),
            "encoder": ENCODERS[: draw(st.integers(1, 3))],
        }
        for i in range(count)
    }
    low = draw(st.integers(2, 3))
    fusion = {
        "nodes": draw(st.integers(1, 3)),
        "inputs": (low, draw(st.integers(low, 4))),
        "operators": draw(st.permutations(OPERATORS))[: draw(st.integers(1, 3))],
    }
    file = {"name": "drawn", "task": {"kind": "binary"}, "modalities": modalities, "fusion": fusion}
    space = SearchSpace(SpaceFile.model_validate(file))
    assume(space.size() <= most)
    return space


@settings(max_examples=60, deadline=None)
@given(small_spaces())
def test_size_is_the_number_of_distinct_architectures(space):
    everything = list(space.enumerate())
    assert len(everything) == len(set(everything)) == space.size()
    assert all(space.contains(architecture) for architecture in everything)


@settings(max_examples=60, deadline=None)
@given(small_spaces(), st.randoms(use_true_random=False))
def test_samples_are_in_the_space_and_canonical(space, rng):
    for _ in range(10):
        architecture = space.sample(rng)
        assert space.problems(architecture) == []
        assert space.architecture(architecture.nodes, architecture.output, dict(architecture.layers)) == architecture


@settings(max_examples=20, deadline=None)
@given(small_spaces(most=60))
def test_sampling_reaches_every_architecture(space):
    rng = random.Random(0)
    assert {space.sample(rng) for _ in range(60 * space.size() + 500)} == set(space.enumerate())


def test_size_by_hand(tiny: Callable[..., SearchSpace]):
    # One point: nothing to fuse. Two points, one operator: two single outputs and one pair.
    assert tiny([0], [1]).size() == 1
    assert tiny([0, 0], [1, 1]).size() == 3
    # Where order counts there are two pairs.
    assert tiny([0, 0], [1, 1], operators="cross_attention").size() == 4
    # A second node reads the first and one of two points: two more.
    assert tiny([0, 0], [1, 1], nodes=2).size() == 5
    # One modality with two encoders, level 0 or 1 (two ways), or both fused (two ways).
    assert tiny([1], [2]).size() == 1 + 2 + 2


def test_size_of_a_huge_space_is_exact_and_quick(tiny: Callable[..., SearchSpace]):
    operators = "additive gated mlp cross_attention multiplicative low_rank_tensor"
    space = tiny([12] * 8, [3] * 8, nodes=8, inputs=(2, 16), operators=operators)
    assert space.size() > 10**100
    architecture = space.sample(random.Random(1), nodes=8)
    assert len(architecture.nodes) == 8
    assert space.contains(architecture)


RULES = (
    OperatorRule("plain", False, 2, 3),
    OperatorRule("pair", True, 2, 2),
    OperatorRule("wide", False, 4, 4),
    OperatorRule("last", False, 2, 2, decides=True),
)


@pytest.mark.parametrize("points", [0, 1, 2, 3])
@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_graphs_are_counted_as_a_plain_listing_counts_them(points, nodes):
    def choices(index):
        sources = range(points + index)
        for rule in RULES[: 4 if index == nodes - 1 else 3]:
            for k in rule.inputs(points + index):
                yield from (itertools.permutations if rule.ordered else itertools.combinations)(sources, k)

    def used(graph):
        return all(any(points + i in inputs for inputs in graph[i + 1 :]) for i in range(nodes - 1))

    listed = sum(used(graph) for graph in itertools.product(*(list(choices(i)) for i in range(nodes))))
    assert Graphs(RULES, points).count(nodes) == listed


def test_sampling_follows_its_documented_distribution(tiny: Callable[..., SearchSpace]):
    space = tiny([1, 1], [1, 1], nodes=2, inputs=(2, 3), operators="additive mlp")
    rng = random.Random(3)
    drawn = Counter(space.sample(rng, nodes=2).nodes for _ in range(20_000))

    def rejected():
        while True:
            nodes = []
            for index in range(2):
                inputs = rng.sample(space.sources(index), rng.choice([2, 3]))
                name = rng.choice(["additive", "mlp"])
                nodes.append(Node(tuple(sorted(inputs, key=space.position)), name))
            if NodeRef(0) in nodes[1].inputs:
                return tuple(nodes)

    expected = Counter(rejected() for _ in range(20_000))
    assert set(drawn) == set(expected)
    # Several hundred graphs of about 50 draws each: their counts differ by chance alone, about as Poisson does.
    chi2 = sum((drawn[g] - expected[g]) ** 2 / (drawn[g] + expected[g]) for g in expected)
    assert abs(chi2 / len(expected) - 1) < 0.2


def test_number_of_nodes_is_uniform_unless_given(space: SearchSpace):
    rng = random.Random(5)
    counts = Counter(len(space.sample(rng).nodes) for _ in range(3000))
    assert all(900 < counts[n] < 1100 for n in (0, 1, 2))
    for nodes in (0, 1, 2):
        assert {len(space.sample(rng, nodes=nodes).nodes) for _ in range(20)} == {nodes}


def test_nodes_that_the_space_does_not_have(space: SearchSpace):
    with pytest.raises(SpaceError, match="'base' has no architecture with 3 nodes, only with 0, 1, 2"):
        space.sample(random.Random(0), nodes=3)


def test_the_same_seed_draws_the_same(space: SearchSpace):
    first = [space.sample(random.Random(9)) for _ in range(3)]
    assert first[0] == first[1] == first[2]
