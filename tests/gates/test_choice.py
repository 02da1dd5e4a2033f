"""Which gates: cheap modalities first, nodes that can save something, nothing where nothing can be saved."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fusionnas.architecture import Gates, Node, NodeRef, Point
from fusionnas.cost import Costs, PartCost, measure_costs
from fusionnas.gates.choice import with_gates
from fusionnas.gates.spending import Spending
from tests.spaces import random_inputs, tiny_signature, tiny_space

SPACE = tiny_space(nodes=3)
CHAIN = SPACE.architecture(
    [Node((Point("a", 0), Point("c", 1)), "mlp"), Node((Point("b", 2), NodeRef(0)), "gated")],
    layers={"b": ("gru", "tcn")},
)
EXITS = Gates(nodes=((0, Point("a", 0)), (1, NodeRef(0))))


@pytest.fixture(scope="module")
def costs() -> Costs:
    """Of the parts, all as measured but their milliseconds, which are set: tests do not depend on the machine."""
    measured = measure_costs(SPACE, tiny_signature(), batch=1, seconds=0.0)
    spent = {"stem/b": 1.0, "layer/b/gru": 5.0, "layer/b/tcn": 3.0, "layer/c/summary": 0.5, "gate": 0.05}
    parts = {
        name: PartCost(spent.get(name, 0.01), 0.0, part.macs, part.parameters, part.tokens)
        for name, part in measured.parts.items()
    }
    return replace(measured, parts=parts)


def test_stages_go_from_cheap_to_costly(costs: Costs):
    assert with_gates(CHAIN, costs, "modality").gates == Gates(stages=(("a",), ("c",), ("b",)))


def test_a_modality_that_costs_less_than_asking_joins_the_stage_before(costs: Costs):
    cheap = replace(costs, parts={**costs.parts, "layer/c/summary": replace(costs.parts["gate"], latency_ms=0.01)})
    assert with_gates(CHAIN, cheap, "modality").gates == Gates(stages=(("a", "c"), ("b",)))


def test_a_node_passes_on_its_cheapest_input(costs: Costs):
    dear = replace(costs, parts={**costs.parts, "layer/c/summary": replace(costs.parts["gate"], latency_ms=5.0)})
    assert with_gates(CHAIN, dear, "node").gates == EXITS


def test_a_node_that_saves_less_than_a_tenth_of_everything_gets_no_gate(costs: Costs):
    assert with_gates(CHAIN, costs, "node").gates == Gates(nodes=((1, NodeRef(0)),))


def test_what_is_passed_on_knows_the_most_modalities(costs: Costs):
    # Levels 1 of two modalities together, rather than one alone, though that would be cheaper.
    deep = Node((Point("c", 0), Point("b", 2), NodeRef(0)), "gated")
    both = SPACE.architecture([Node((Point("a", 0), Point("b", 1)), "mlp"), deep], layers={"b": ("gru", "tcn")})
    assert with_gates(both, dearer(costs, 1.0), "node").gates == Gates(nodes=((1, NodeRef(0)),))
    # Where hardly anything would be left to save, the cheapest alone.
    assert with_gates(both, dearer(costs, 100.0), "node").gates == Gates(nodes=((1, Point("c", 0)),))


def dearer(costs: Costs, gru: float) -> Costs:
    return replace(costs, parts={**costs.parts, "layer/b/gru": replace(costs.parts["gate"], latency_ms=gru)})


def test_with_stages_only_operators_are_left_to_save(costs: Costs):
    assert with_gates(CHAIN, costs, "both").gates == Gates(stages=(("a",), ("c",), ("b",)))


def test_where_nothing_can_be_saved_there_is_no_gate(costs: Costs):
    alone = SPACE.architecture([], output=Point("a", 1))
    for level in ("none", "modality", "node", "both"):
        assert with_gates(alone, costs, level).gates is None
    assert with_gates(CHAIN, costs, "none").gates is None


def test_spending_is_the_share_of_what_is_run(costs: Costs):
    gated = replace(CHAIN, gates=EXITS)
    spending, inputs = Spending.of(gated, costs), random_inputs(20, 0)
    all_there = {name: f._replace(present=torch.ones_like(f.present)) for name, f in inputs.items()}
    zero, one = torch.zeros(20), torch.ones(20)
    gates = spending.gate
    everything = spending({"node_0": one, "node_1": one}, all_there)
    torch.testing.assert_close(everything, one + 2 * gates)
    series = sum(share for source, share in spending.sources.items() if source in {Point("b", i) for i in range(3)})
    skipped = spending({"node_0": one, "node_1": zero}, all_there)
    torch.testing.assert_close(everything - skipped, one * (series + spending.sources[NodeRef(1)]))
    lacking = {**all_there, "b": all_there["b"].absent()}
    torch.testing.assert_close(everything - spending({"node_0": one, "node_1": one}, lacking), one * series)


def test_spending_of_stages(costs: Costs):
    gated = with_gates(CHAIN, costs, "modality")
    spending, inputs = Spending.of(gated, costs), random_inputs(4, 0)
    all_there = {name: f._replace(present=torch.ones_like(f.present)) for name, f in inputs.items()}
    decisions = {"stage_1": torch.tensor([0.0, 1.0, 1.0, 0.0]), "stage_2": torch.tensor([1.0, 0.0, 1.0, 0.0])}
    spent = spending(decisions, all_there).tolist()
    assert spent[0] == spent[3] < spent[1] < spent[2] == pytest.approx(1 + 2 * spending.gate)
