"""Costs: sums of parts are those of the whole network, and a mixture's expected cost is right at its corners."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fusionnas.architecture import Architecture, Node, Point
from fusionnas.cost import Costs, expected_cost, measure_costs
from fusionnas.errors import SpaceError
from fusionnas.feature import random_feature
from fusionnas.network import build
from fusionnas.supernet import Alphas, Mixing
from fusionnas.supernet.mixing import one_hot, softmax
from tests.spaces import OPERATORS, tiny_signature, tiny_space

SPACE = tiny_space(operators=(*OPERATORS, "late_product"))


@pytest.fixture(scope="module")
def costs() -> Costs:
    return measure_costs(SPACE, tiny_signature(), batch=4, seconds=0.0)


def architectures() -> list[Architecture]:
    rng = random.Random(3)
    return [SPACE.sample(rng) for _ in range(20)]


@pytest.mark.parametrize("architecture", architectures(), ids=str)
def test_parts_add_up_to_the_network(costs: Costs, architecture: Architecture):
    network = build(SPACE, architecture, tiny_signature()).eval()
    generator = torch.Generator().manual_seed(0)
    inputs = {n: random_feature(s, 1, generator, complete=True) for n, s in tiny_signature().inputs.items()}
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(inputs)
    assert costs.macs(architecture) == counter.get_total_flops() // 2
    assert costs.parameters(architecture) == sum(p.numel() for p in network.parameters())
    assert costs.latency_ms(architecture) > sum(costs.encoders_ms(architecture).values()) > 0


@pytest.mark.parametrize("measure", ["latency_ms", "macs", "parameters"])
def test_expected_cost_at_one_hot_weights_is_the_cost_of_the_architecture(costs: Costs, measure):
    for architecture in architectures():
        expected = expected_cost(SPACE, costs, measure)(one_hot(SPACE, architecture, dtype=torch.float64))
        assert float(expected) == pytest.approx(costs.of(architecture, measure), rel=1e-12)


def test_expected_cost_is_the_mean_over_two_architectures_that_differ_in_one_choice(costs: Costs):
    first = SPACE.architecture([Node((Point("a", 1), Point("b", 2)), "gated")])
    second = SPACE.architecture([Node((Point("a", 1), Point("b", 2)), "mlp")])
    one, two = (one_hot(SPACE, a, dtype=torch.float64) for a in (first, second))
    mixed = replace(one, operators=tuple((x + 3 * y) / 4 for x, y in zip(one.operators, two.operators, strict=True)))
    mean = (costs.latency_ms(first) + 3 * costs.latency_ms(second)) / 4
    assert float(expected_cost(SPACE, costs)(mixed)) == pytest.approx(mean, rel=1e-12)


def test_descending_the_expected_cost_moves_alphas_to_a_cheap_architecture(costs: Costs):
    alphas, expected = Alphas(SPACE), expected_cost(SPACE, costs, "macs")
    steps = torch.optim.Adam(alphas.parameters(), lr=0.3)

    def mixing() -> Mixing:
        return alphas.mixing(softmax)

    before = float(expected(mixing()).detach())
    for _ in range(60):
        steps.zero_grad()
        (expected(mixing()) / before).backward()
        steps.step()
    cheapest = min(costs.macs(a) for a in SPACE.enumerate() if not a.nodes)
    assert cheapest <= float(expected(mixing()).detach()) < 0.3 * before


def test_costs_go_through_json(costs: Costs):
    assert Costs.from_json(costs.to_json()) == costs


def test_what_was_not_measured_is_named(costs: Costs):
    odd = SPACE.architecture([Node((Point("a", 1), Point("b", 2)), "tensor")])
    with pytest.raises(SpaceError, match="operator/tensor/2: not measured"):
        costs.latency_ms(odd)


def test_parts_of_architectures_from_outside_are_measured_on_request():
    odd = SPACE.architecture([Node((Point("a", 1), Point("b", 2)), "tensor")])
    costs = measure_costs(SPACE, tiny_signature(), batch=1, also=[odd], seconds=0.0)
    assert costs.parameters(odd) == sum(p.numel() for p in build(SPACE, odd, tiny_signature()).parameters())
    assert costs.summary(odd)["latency_batch"] == 1
