"""What the formulas of the operators mean, on values; the contract is in test_conformance.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fusionnas.errors import SpaceError
from fusionnas.feature import Feature
from fusionnas.operators import operators

PYTHON = str.maketrans({"·": "*", "²": "**2", "³": "**3", "^": "**"})


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=4, batch=5):
    return [Feature.vector(torch.randn(batch, width)) for _ in range(count)]


def tokens(length, width=8, batch=3, real=None):
    mask = torch.arange(length).expand(batch, -1) < (real or length)
    return Feature(torch.randn(batch, length, width) * mask[..., None], mask, torch.ones(batch, dtype=torch.bool))


def values(feature):
    return feature.values.squeeze(-2)


def test_additive_is_the_sum_of_its_terms():
    operator, (a, b) = operators["additive"](2, 4), vectors(2)
    weight_a, weight_b = operator.project.weight.split(4, 1)
    expected = values(a) @ weight_a.T + values(b) @ weight_b.T + operator.project.bias
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_additive_has_no_interaction():
    operator, (a, b), (c, d) = operators["additive"](2, 4), vectors(2), vectors(2)
    mixed = operator([a, b]).values + operator([c, d]).values - operator([a, d]).values - operator([c, b]).values
    torch.testing.assert_close(mixed, torch.zeros_like(mixed), atol=1e-6, rtol=0)


def test_multiplicative_is_the_projected_product():
    operator, (a, b, c) = operators["multiplicative"](3, 4), vectors(3)
    nn.init.normal_(operator.factors.bias)
    factors = [values(x) @ w.T + bias for x, w, bias in zip((a, b, c), *operator.factors.parameters(), strict=True)]
    expected = operator.project(factors[0] * factors[1] * factors[2])
    torch.testing.assert_close(values(operator([a, b, c])), expected)


def test_gate_pinned_shut_removes_an_input():
    operator, (a, b) = operators["gated"](2, 4), vectors(2)
    nn.init.zeros_(operator.gates.weight)
    operator.gates.bias.data = torch.tensor([200.0] * 4 + [-200.0] * 4)  # sigmoid is 1 and 0 in float32
    expected = (values(a) @ operator.transforms.weight[0].T).tanh()
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_low_rank_tensor_is_a_tensor_contraction():
    operator, (a, b) = operators["low_rank_tensor"](2, 3).double(), vectors(2, width=3)
    nn.init.normal_(operator.bias)
    weight, bias = operator.factors.weight.unflatten(1, (4, 3)), operator.factors.bias.unflatten(1, (4, 3))
    factors = torch.cat((bias[..., None], weight), -1)  # (input, rank, D out, 1 + D in)
    tensor = torch.einsum("r,roi,roj->oij", operator.scales, factors[0], factors[1])
    ones = torch.ones(5, 1, dtype=torch.float64)
    a1, b1 = torch.cat((ones, values(a).double()), 1), torch.cat((ones, values(b).double()), 1)
    expected = torch.einsum("oij,bi,bj->bo", tensor, a1, b1) + operator.bias
    given = operator([Feature.vector(values(a).double()), Feature.vector(values(b).double())])
    torch.testing.assert_close(values(given), expected, atol=1e-12, rtol=0)


def test_mlp_is_a_perceptron_over_the_concatenation():
    operator, inputs = operators["mlp"](2, 4), vectors(2)
    joined = torch.cat([values(x) for x in inputs], -1)
    expected = operator.project(nn.functional.gelu(operator.hidden(joined)))
    torch.testing.assert_close(values(operator(inputs)), expected)


def test_cross_attention_agrees_with_torch():
    operator, target, source = operators["cross_attention"](2, 8), tokens(3), tokens(5, real=4)
    attention = nn.MultiheadAttention(8, 4, bias=False, batch_first=True)
    key_value = operator.sources[0].weight
    attention.in_proj_weight.data = torch.cat((operator.query.weight, key_value)).detach()
    attention.out_proj.weight.data = operator.answer.weight.detach()
    read = operator.norm(source.values)
    answer, _ = attention(operator.norm(target.values), read, read, key_padding_mask=~source.mask)
    hidden = target.values + answer
    expected = hidden + operator.project(nn.functional.gelu(operator.hidden(operator.norm_ffn(hidden))))
    torch.testing.assert_close(operator([target, source]).values, expected, atol=1e-6, rtol=1e-5)


def test_cross_attention_without_its_first_input_is_absent():
    operator, target, source = operators["cross_attention"](2, 8), tokens(3), tokens(5)
    out = operator([target.absent(), source])
    assert not out.present.any() and not out.mask.any() and not out.values.any()


@pytest.mark.parametrize(("width", "heads"), [(8, 4), (6, 2), (5, 1)])
def test_cross_attention_takes_the_most_heads_that_fit(width, heads):
    assert operators["cross_attention"](2, width).heads == heads


@pytest.mark.parametrize("name", ["multiplicative", "low_rank_tensor"])
def test_product_drops_the_factor_of_an_absent_input(name):
    operator, (a, b) = operators[name](2, 4), vectors(2)
    gone = b._replace(present=torch.zeros(5, dtype=torch.bool))
    operator.factors.weight.data[1] = torch.nan  # so any use of it shows
    assert operator([a, gone]).values.isfinite().all()


@pytest.mark.parametrize("name", list(operators))
def test_closed_forms_in_facts_are_the_counts(name):
    cls = operators[name]
    for inputs, width, first, total in [(2, 8, 3, 8), (3, 5, 2, 9)]:
        tokens = [first] + [0] * (inputs - 2) + [total - first]
        assert closed_form(cls.facts.parameters, inputs, width, tokens) == cls.count_parameters(inputs, width)
        assert closed_form(cls.facts.macs, inputs, width, tokens) == cls.count_macs(inputs, width, tokens)


def closed_form(text, inputs, width, tokens):
    """The value of ``4·k·D² + q, q = min(D, 8)``."""
    formula, _, where = text.translate(PYTHON).partition(", ")
    known = {"k": inputs, "D": width, "C": width, "min": min, "gcd": math.gcd}
    known |= {"T0": tokens[0], "T": sum(tokens), "Tm": max(tokens), "Q": sum(t * t for t in tokens)}
    if " = " in where:
        name, _, value = where.partition(" = ")
        known[name] = eval(value, {}, known)
    return eval(formula, {}, known)


def test_ranks_follow_the_chart():
    order = ["additive", "multiplicative", "tensor", "polynomial", "modality_shift", "gated", "mlp", "cross_attention"]
    ranks = [operators[name].facts.rank for name in order]
    assert ranks == sorted(set(ranks))


def test_too_few_inputs_are_refused():
    with pytest.raises(SpaceError, match="Gated: given 1 inputs, expected 2 to any number; change fusion.inputs"):
        operators["gated"](1, 8)
