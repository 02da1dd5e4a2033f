"""Operators that gate, weigh or shift their inputs: what their formulas mean, and golden values."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.operators import operators
from fusionnas.operators.gated_hard import straight_through
from fusionnas.operators.modality_shift import bounded_share, shift_parameters


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=4, batch=5):
    return [Feature.vector(torch.randn(batch, width)) for _ in range(count)]


def values(feature):
    return feature.values.squeeze(-2)


def test_film_scales_and_shifts_the_first_input():
    operator, (a, b) = operators["film"](2, 4), vectors(2)
    scale, shift = operator.conditions(values(b)).split(4, -1)
    torch.testing.assert_close(values(operator([a, b])), (1 + scale) * operator.project(values(a)) + shift)


def test_film_without_conditions_is_the_projected_first_input():
    operator, (a, b) = operators["film"](2, 4), vectors(2)
    torch.testing.assert_close(values(operator([a, b.absent()])), operator.project(values(a)))


def test_sigmoid_gates_pinned_open_add():
    operator, (a, b) = operators["gated_sigmoid"](2, 4), vectors(2)
    operator.gates.weight.data.zero_()
    operator.gates.bias.data.fill_(200.0)  # sigmoid is 1 in float32
    weight_a, weight_b = operator.transforms.weight
    torch.testing.assert_close(values(operator([a, b])), values(a) @ weight_a.T + values(b) @ weight_b.T)


def test_softmax_gates_of_two_inputs_are_g_and_1_minus_g():
    operator, (a, b) = operators["gated_softmax"](2, 4), vectors(2)
    logit_a, logit_b = operator.gates(torch.cat([values(a), values(b)], -1)).split(4, -1)
    gate, (weight_a, weight_b) = (logit_a - logit_b).sigmoid(), operator.transforms.weight
    expected = gate * (values(a) @ weight_a.T) + (1 - gate) * (values(b) @ weight_b.T)
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_attention_gate_starts_at_the_mean():
    operator, (a, b) = operators["attention_gate"](2, 4), vectors(2)
    weight_a, weight_b = operator.transforms.weight
    torch.testing.assert_close(values(operator([a, b])), (values(a) @ weight_a.T + values(b) @ weight_b.T) / 2)


def test_attention_gate_weighs_whole_inputs():
    operator, (a, b) = operators["attention_gate"](2, 4), vectors(2)
    torch.nn.init.normal_(operator.attention.weight)
    weights = operator.attention(torch.cat([values(a), values(b)], -1)).softmax(-1)
    terms = [values(x) @ w.T for x, w in zip((a, b), operator.transforms.weight, strict=True)]
    torch.testing.assert_close(values(operator([a, b])), weights[:, :1] * terms[0] + weights[:, 1:] * terms[1])


@pytest.mark.parametrize("name", ["gated_softmax", "attention_gate"])
def test_the_only_input_there_gets_all_the_weight(name):
    operator, (a, b) = operators[name](2, 4), vectors(2)
    torch.nn.init.normal_(next(operator.parameters()))
    torch.testing.assert_close(values(operator([a.absent(), b])), values(b) @ operator.transforms.weight[1].T)


def test_modality_shift_is_the_formula():
    operator, (a, b) = operators["modality_shift"](2, 4), vectors(2)
    torch.nn.init.normal_(operator.shifts.bias)
    gate = (torch.cat([values(b), values(a)], -1) @ operator.gates.weight[0].T + operator.gates.bias[0]).relu()
    shift = gate * (values(b) @ operator.shifts.weight[0].T + operator.shifts.bias[0])
    share = (values(a).norm(dim=-1, keepdim=True) / (shift.norm(dim=-1, keepdim=True) + 1e-6)).clamp(max=1)
    assert 0 < (share < 1).sum() < len(share)  # both cases are met
    torch.testing.assert_close(values(operator([a, b])), operator.norm(values(a) + share * shift))


def test_modality_shift_by_an_absent_input_is_none():
    # The authors' code moves the first input by gate bias times value bias, whatever is missing.
    operator, (a, b) = operators["modality_shift"](2, 4), vectors(2)
    torch.nn.init.ones_(operator.gates.bias)
    torch.nn.init.ones_(operator.shifts.bias)
    torch.testing.assert_close(values(operator([a, b.absent()])), operator.norm(values(a)))


def test_modality_shift_without_its_first_input_is_the_shift():
    operator, (a, b) = operators["modality_shift"](2, 4), vectors(2)
    out = operator([a.absent(), b])
    assert out.present.all() and out.values.abs().max() > 0.1


def test_share_of_the_shift_is_finite_at_lengths_of_zero():
    first, shift = torch.zeros(2, 4, requires_grad=True), torch.zeros(2, 4, requires_grad=True)
    share = bounded_share(first, shift)
    share.sum().backward()
    assert share.isfinite().all() and first.grad.isfinite().all() and shift.grad.isfinite().all()


def test_share_of_the_shift_does_not_overflow_in_half_precision():
    large = torch.full((1, 4), 1e4, dtype=torch.float16)
    assert bounded_share(large, 2 * large).item() == pytest.approx(0.5, abs=1e-3)


def test_parameters_of_the_modality_shift_in_the_paper():
    assert shift_parameters(768, [74, 47]) == 1_370_112


def test_hard_gates_are_open_or_shut():
    operator, (a, b) = operators["gated_hard"](2, 4), vectors(2)
    operator.gates.weight.data.zero_()
    operator.gates.bias.data = torch.tensor([1.0, -1, 1, -1, -1, -1, 1, 1])
    first, second = operator.transforms(torch.stack([values(a), values(b)], 1)).tanh().unbind(1)
    expected = first * torch.tensor([1.0, 0, 1, 0]) + second * torch.tensor([0.0, 0, 1, 1])
    torch.testing.assert_close(values(operator([a, b])), expected, atol=0, rtol=0)


def test_hard_gates_learn_as_soft_ones_do():
    hard, soft, inputs = operators["gated_hard"](2, 4), operators["gated"](2, 4), vectors(2)
    soft.load_state_dict(hard.state_dict())
    for operator in (hard, soft):
        operator(inputs).values.sum().backward()
    torch.testing.assert_close(hard.gates.weight.grad, soft.gates.weight.grad)


def test_straight_through_values_do_not_round():
    soft = torch.rand(10_000)
    assert set(straight_through((soft > 0.5).float(), soft).tolist()) == {0.0, 1.0}
