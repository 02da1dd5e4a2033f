"""Neighbours stay in the space, and lead from everywhere to everywhere."""

from __future__ import annotations

import pytest

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.errors import SpaceError
from fusionnas.space.counting import OperatorRule


def graph_difference(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a.nodes, b.nodes, strict=False)) + abs(len(a.nodes) - len(b.nodes))


SMALL = [
    {"levels": [1, 1], "encoders": [1, 2], "nodes": 2, "inputs": (2, 3), "operators": "additive"},
    {"levels": [0, 0, 0], "encoders": [1, 1, 1], "nodes": 2, "inputs": (2, 2), "operators": "additive mlp"},
    {"levels": [0, 0], "encoders": [1, 1], "nodes": 3, "inputs": (2, 3), "operators": "additive"},
    {"levels": [1, 0], "encoders": [2, 1], "nodes": 2, "inputs": (2, 3), "operators": "cross_attention"},
    {"levels": [1, 0], "encoders": [1, 1], "nodes": 3, "inputs": (2, 2), "operators": "additive late_vote"},
]


@pytest.mark.parametrize("kind", SMALL)
def test_neighbours_are_distinct_members_and_connect_the_space(tiny, kind):
    space = tiny(**kind)
    everything = set(space.enumerate())
    reached = {next(space.enumerate())}
    pending = list(reached)
    while pending:
        architecture = pending.pop()
        near = list(space.neighbours(architecture))
        assert len(near) == len(set(near))
        assert architecture not in near
        assert set(near) <= everything
        assert all(graph_difference(architecture, other) <= 1 for other in near)
        pending += set(near) - reached
        reached |= set(near)
    assert reached == everything


def test_moves_can_be_taken_back_where_order_and_layers_leave_no_choice(tiny):
    space = tiny([1, 1], [1, 1], nodes=2, inputs=(2, 2), operators="additive mlp")
    for architecture in space.enumerate():
        for near in space.neighbours(architecture):
            assert architecture in set(space.neighbours(near))


def test_all_neighbours_of_one_architecture(tiny):
    space = tiny([1, 0], [2, 1], operators="additive mlp")
    a0, a1, b0 = Point("m0", 0), Point("m0", 1), Point("m1", 0)
    start = space.architecture([Node((a1, b0), "additive")], layers={"m0": ["tcn"]})
    expected = {
        space.architecture([Node((a0, b0), "additive")]),
        space.architecture([Node((a0, a1), "additive")], layers={"m0": ["tcn"]}),
        space.architecture([Node((a1, b0), "mlp")], layers={"m0": ["tcn"]}),
        space.architecture([Node((a1, b0), "additive")], layers={"m0": ["gru"]}),
        space.architecture([], a1, layers={"m0": ["tcn"]}),
        space.architecture([], b0),
    }
    assert set(space.neighbours(start)) == expected


def test_layers_that_come_into_use_start_with_the_first_encoder(tiny):
    space = tiny([2], [2])
    near = set(space.neighbours(space.architecture([], Point("m0", 0))))
    assert space.architecture([], Point("m0", 2), layers={"m0": ["gru", "gru"]}) in near
    assert space.architecture([], Point("m0", 2), layers={"m0": ["tcn", "gru"]}) not in near


def test_operators_keep_their_own_numbers_of_inputs(tiny):
    space = tiny([0, 0, 0, 0], [1] * 4, inputs=(2, 3), operators="additive mlp")
    space.rules["mlp"] = OperatorRule("mlp", False, 2, 2)
    triple = space.architecture([Node((Point("m0", 0), Point("m1", 0), Point("m2", 0)), "additive")])
    assert not any(a.nodes and a.nodes[0].operator == "mlp" for a in space.neighbours(triple))


def test_a_node_is_added_at_the_end_and_taken_away_again(tiny):
    space = tiny([0, 0, 0], [1] * 3, nodes=2)
    a, b, c = space.points()
    one = space.architecture([Node((a, b), "mlp")])
    two = space.architecture([Node((a, b), "mlp"), Node((c, NodeRef(0)), "mlp")])
    assert two in set(space.neighbours(one))
    assert one in set(space.neighbours(two))


def test_neighbours_of_a_stranger(space):
    stranger = space.architecture([Node((Point("static", 0), Point("vitals", 0)), "mlp")])
    with pytest.raises(SpaceError, match=r"nodes\[0\].operator: 'mlp' is not in this space \(known: additive, gated"):
        space.neighbours(stranger)
