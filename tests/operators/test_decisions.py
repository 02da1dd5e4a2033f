"""Late fusion: what each rule makes of experts' predictions, for several classes and for one logit."""

from __future__ import annotations

import pytest
import torch

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature
from fusionnas.network import FusionHead
from fusionnas.operators import operators
from tests.spaces import DECISIONS, tiny_space


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def decide(name, logits, absent=()):
    """The rule's logits (B, C) for experts whose logits (B, k, C) are given."""
    classes = logits.shape[-1]
    operator = operators[name](logits.shape[1], classes)
    operator.experts.weight.data = torch.eye(classes).repeat(logits.shape[1], 1, 1)
    features = [Feature.vector(x) for x in logits.unbind(1)]
    features = [f.absent() if place in absent else f for place, f in enumerate(features)]
    return operator(features).values.squeeze(-2)


def binary(name, logits):
    """The same for one logit per expert (B, k) -> (B,)."""
    operator = operators[name](logits.shape[1], 2, 1)
    operator.experts.weight.data = torch.tensor([[[1.0, 0.0]]]).repeat(logits.shape[1], 1, 1)
    features = [Feature.vector(torch.stack((x, torch.zeros_like(x)), -1)) for x in logits.unbind(1)]
    return operator(features).values.flatten()


def test_logits_and_probabilities_are_averaged():
    logits = torch.randn(6, 3, 4)
    torch.testing.assert_close(decide("late_logits", logits), logits.mean(1))
    torch.testing.assert_close(decide("late_probabilities", logits).exp(), logits.softmax(-1).mean(1))
    one = torch.randn(6, 3)
    torch.testing.assert_close(binary("late_logits", one), one.mean(1))
    torch.testing.assert_close(binary("late_probabilities", one).sigmoid(), one.sigmoid().mean(1))


def test_probabilities_of_a_product_of_experts_multiply():
    logits = torch.randn(6, 3, 4)
    product = logits.softmax(-1).prod(1)
    torch.testing.assert_close(decide("late_product", logits).softmax(-1), product / product.sum(-1, keepdim=True))
    one = torch.randn(6, 3)
    torch.testing.assert_close(binary("late_product", one), one.sum(1))


def test_votes_are_counted():
    logits = torch.tensor([[[3.0, 0, 0], [1, 0, 0], [0, 9, 0]]])
    shares = decide("late_vote", logits).exp()
    torch.testing.assert_close(shares, torch.tensor([[2.5, 1.5, 0.5]]) / 4.5)
    torch.testing.assert_close(binary("late_vote", torch.tensor([[5.0, 4, -9]])).exp(), torch.tensor([2.5 / 1.5]))


def test_experts_learn_through_their_votes():
    operator = operators["late_vote"](2, 3, 1)
    operator([Feature.vector(torch.randn(4, 3)) for _ in range(2)]).values.sum().backward()
    assert operator.experts.weight.grad.abs().min() > 0


def test_stacking_is_linear_in_predictions():
    operator, logits = operators["late_stacking"](2, 3), torch.randn(5, 2, 3)
    operator.experts.weight.data = torch.eye(3).repeat(2, 1, 1)
    expected = operator.over_experts(3 * logits.softmax(-1).flatten(1) - 1)
    torch.testing.assert_close(operator([Feature.vector(x) for x in logits.unbind(1)]).values.squeeze(-2), expected)


@pytest.mark.parametrize("name", ["late_logits", "late_probabilities", "late_product", "late_vote"])
def test_an_absent_expert_has_no_say(name):
    logits = torch.randn(6, 3, 4)
    torch.testing.assert_close(decide(name, logits, absent=(1,)), decide(name, logits[:, [0, 2]]))


@pytest.mark.parametrize("sure", [200.0, -200.0])
def test_experts_that_are_sure_keep_probabilities_and_gradients_finite(sure):
    one = torch.tensor([[sure, 0.5]], requires_grad=True)
    mixed = binary("late_probabilities", one)
    mixed.sum().backward()
    assert mixed.isfinite().all() and one.grad.isfinite().all()


@pytest.mark.parametrize("name", DECISIONS)
def test_a_head_that_decides_has_no_readout_after_it(name):
    node = Node((Point("a", 0), Point("b", 0)), name)
    architecture = Architecture((("a", ()), ("b", ())), (node,), NodeRef(0))
    head = FusionHead(architecture, 4, 3)
    logits = head({Point("a", 0): Feature.vector(torch.randn(5, 4)), Point("b", 0): Feature.vector(torch.randn(5, 4))})
    assert logits.shape == (5, 3)
    assert sum(p.numel() for p in head.parameters()) == operators[name].count_parameters(2, 4, 3)


def test_only_the_last_node_may_decide():
    space = tiny_space(operators=("additive", "late_vote"))
    a, b, c = (space.points()[i] for i in (0, 2, 5))
    with pytest.raises(SpaceError, match=r"nodes\[0\].operator: 'late_vote' fuses predictions, so only the last node"):
        space.architecture([Node((a, b), "late_vote"), Node((space.sources(1)[-1], c), "additive")])
