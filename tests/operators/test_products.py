"""Operators that multiply their inputs: what their formulas mean, and golden values."""

from __future__ import annotations

import pytest
import torch

from fusionnas.errors import SpaceError
from fusionnas.feature import Feature
from fusionnas.operators import operators
from fusionnas.operators.mfb import mfb_parameters, signed_sqrt
from fusionnas.operators.multiplicative_interaction import matrix_parameters
from fusionnas.operators.multiplicative_interaction_scalar import scalar_parameters
from fusionnas.operators.multiplicative_interaction_vector import vector_parameters
from fusionnas.operators.mutan import mutan_parameters
from fusionnas.operators.tensor import check_tensor_width, tensor_width


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=4, batch=5):
    return [Feature.vector(torch.randn(batch, width, dtype=torch.float64)) for _ in range(count)]


def values(feature):
    return feature.values.squeeze(-2)


def build(name, inputs=2, width=4):
    return operators[name](inputs, width).double()


def plain_tensor(inputs, width):
    """Tensor fusion whose projections are the identity."""
    operator = build("tensor", inputs, width)
    operator.narrows.weight.data = torch.eye(width, dtype=torch.float64).repeat(inputs, 1, 1)
    operator.narrows.bias.data.zero_()
    return operator


def test_additive_multiplicative_is_the_sum_of_both():
    operator, (a, b) = build("additive_multiplicative"), vectors(2)
    torch.nn.init.normal_(operator.factors.bias)
    (weight_a, weight_b), (bias_a, bias_b) = operator.factors.weight, operator.factors.bias
    product = (values(a) @ weight_a.T + bias_a) * (values(b) @ weight_b.T + bias_b)
    expected = operator.terms(torch.cat([values(a), values(b)], -1)) + operator.project(product)
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_additive_multiplicative_without_its_product_is_additive():
    both, additive, inputs = build("additive_multiplicative"), build("additive"), vectors(2)
    both.project.weight.data.zero_()
    additive.project.load_state_dict(both.terms.state_dict())
    torch.testing.assert_close(both(inputs).values, additive(inputs).values)


def test_low_rank_tensor_is_the_expanded_tensor_fusion():
    low, full, inputs = build("low_rank_tensor", 3, 3), plain_tensor(3, 3), vectors(3, 3)
    weight, bias = low.factors.weight.unflatten(1, (4, 3)), low.factors.bias.unflatten(1, (4, 3))
    first, second, third = torch.cat((bias[..., None], weight), -1)  # (rank, D out, 1 + D in) each
    tensor = torch.einsum("r,roi,roj,rok->okji", low.scales, first, second, third)
    full.project.weight.data = tensor.flatten(1)
    torch.testing.assert_close(full(inputs).values, low(inputs).values, atol=1e-10, rtol=0)


def test_low_rank_tensor_without_an_input_is_that_of_the_others():
    three, two, inputs = build("low_rank_tensor", 3), build("low_rank_tensor", 2), vectors(3)
    state = three.state_dict()
    two.load_state_dict({name: value[[0, 2]] if name.startswith("factors") else value for name, value in state.items()})
    expected = two([inputs[0], inputs[2]]).values
    torch.testing.assert_close(three([inputs[0], inputs[1].absent(), inputs[2]]).values, expected)


def test_low_rank_tensor_at_an_input_of_zeros_is_that_of_the_others_with_scales_of_its_constants():
    """The fall-back of the source, whose absent input is 0: each rank is rescaled by the constants of that factor."""
    operator, (a, b) = build("low_rank_tensor"), vectors(2)
    zero = b._replace(values=torch.zeros_like(b.values))
    first = (values(a) @ operator.factors.weight[0].T + operator.factors.bias[0]).unflatten(1, (4, 4))
    constants = operator.factors.bias[1].unflatten(0, (4, 4))
    expected = torch.einsum("r,brd,rd->bd", operator.scales, first, constants) + operator.bias
    torch.testing.assert_close(values(operator([a, zero])), expected)


def test_tensor_is_the_outer_product():
    operator, (a, b) = plain_tensor(2, 3), vectors(2, 3)
    ones = torch.ones(5, 1, dtype=torch.float64)
    outer = torch.einsum("bi,bj->bji", torch.cat((ones, values(a)), 1), torch.cat((ones, values(b)), 1))
    torch.testing.assert_close(values(operator([a, b])), operator.project(outer.flatten(1)))


def test_tensor_decomposes_into_sub_blocks():
    operator, inputs = build("tensor", 3), vectors(3)
    torch.nn.init.normal_(operator.project.bias)
    blocks = operator.sub_blocks(inputs)
    assert list(blocks) == [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    torch.testing.assert_close(sum(blocks.values()) + operator.project.bias, values(operator(inputs)))


def test_tensor_on_its_border_is_additive():
    operator, additive, inputs = plain_tensor(2, 4), build("additive"), vectors(2)
    tensor = operator.project.weight.data.unflatten(1, (5, 5))  # second input, first input
    additive.project.weight.data = torch.cat((tensor[:, 0, 1:], tensor[:, 1:, 0]), 1)
    additive.project.bias.data = operator.project.bias.data + tensor[:, 0, 0]
    operator.keep([(), (0,), (1,)])
    torch.testing.assert_close(operator(inputs).values, additive(inputs).values)
    operator.keep(None)
    assert not torch.allclose(operator(inputs).values, additive(inputs).values)


def test_tensor_without_an_input_is_the_sub_tensor_of_the_others():
    operator, (a, b, c) = build("tensor", 3), vectors(3)
    blocks = operator.sub_blocks([a, b.absent(), c])
    whole = operator.sub_blocks([a, b, c])
    for block, given in blocks.items():
        torch.testing.assert_close(given, torch.zeros_like(given) if 1 in block else whole[block])


def test_tensor_has_no_such_block():
    with pytest.raises(SpaceError, match=r"tensor over 2 inputs has no blocks \[\(0, 2\)\]; ask for \[\(\), \(0,\)"):
        build("tensor").keep([(0, 1), (0, 2)])


def test_tensor_that_would_be_too_wide_names_the_remedy():
    message = (
        "outer product of 4 inputs .* would be 1,185,921 wide, allowed 1,000,000; use the operator low_rank_tensor"
    )
    with pytest.raises(SpaceError, match=message):
        check_tensor_width([32] * 4)
    with pytest.raises(SpaceError, match="low_rank_tensor"):
        operators["tensor"](7, 8)


class Linearly(operators["polynomial"]):
    order = 1


class Cubically(operators["polynomial"]):
    order = 3


def test_polynomial_of_order_1_is_additive():
    operator, additive, inputs = Linearly(2, 4).double(), build("additive"), vectors(2)
    mix = torch.einsum("r,rof->of", operator.pool.scales, operator.factors.weight.unflatten(0, (4, 4)))
    additive.project.weight.data = mix
    constants = operator.pool.constants.unflatten(0, (4, 4))
    additive.project.bias.data = torch.einsum("r,ro->o", operator.pool.scales, constants)
    torch.testing.assert_close(operator(inputs).values, additive(inputs).values)


def test_polynomial_of_order_2_is_a_symmetric_bilinear_form():
    operator, (a, b) = build("polynomial"), vectors(2)
    weight = torch.cat((operator.pool.constants[:, None], operator.factors.weight), 1).unflatten(0, (4, 4))
    form = torch.einsum("r,rof,rog->ofg", operator.pool.scales, weight, weight)
    joined = torch.cat((torch.ones(5, 1, dtype=torch.float64), values(a), values(b)), 1)
    torch.testing.assert_close(values(operator([a, b])), torch.einsum("ofg,bf,bg->bo", form, joined, joined))


@pytest.mark.parametrize(("kind", "power"), [(Linearly, 1), (operators["polynomial"], 2), (Cubically, 3)])
def test_polynomial_has_the_degree_it_says(kind, power):
    # The authors' code multiplies once more than its order.
    operator, inputs = kind(2, 4).double(), vectors(2)
    operator.pool.constants.data.zero_()
    twice = [x._replace(values=2 * x.values) for x in inputs]
    torch.testing.assert_close(operator(twice).values, 2**power * operator(inputs).values)
    once = operator(inputs).values
    operator.factors.weight.data *= -1
    torch.testing.assert_close(operator(inputs).values, (-1) ** power * once)


def test_polynomial_has_finite_gradients_at_zero():
    operator, inputs = build("polynomial"), vectors(2)
    operator.pool.constants.data.zero_()
    given = [x._replace(values=torch.zeros_like(x.values).requires_grad_()) for x in inputs]
    torch.autograd.backward(operator(given).values.sum())
    assert all(x.values.grad.isfinite().all() for x in given)


def test_bilinear_agrees_with_torch():
    operator, (a, b) = build("bilinear"), vectors(2)
    expected = torch.nn.functional.bilinear(values(a), values(b), operator.pairs.weight.unflatten(1, (4, 4)))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_bilinear_of_three_inputs_is_the_sum_over_pairs():
    operator, inputs = build("bilinear", 3), vectors(3)
    weights = operator.pairs.weight.unflatten(1, (3, 4, 4)).unbind(1)
    terms = [
        torch.nn.functional.bilinear(values(inputs[i]), values(inputs[j]), weight.contiguous())
        for (i, j), weight in zip([(0, 1), (0, 2), (1, 2)], weights, strict=True)
    ]
    torch.testing.assert_close(values(operator(inputs)), sum(terms))


def test_bilinear_is_the_interior_of_tensor_fusion():
    bilinear, tensor, inputs = build("bilinear"), plain_tensor(2, 4), vectors(2)
    interior = tensor.project.weight.data.unflatten(1, (5, 5))[:, 1:, 1:]  # second input, first input
    bilinear.pairs.weight.data = interior.transpose(1, 2).flatten(1)
    tensor.keep([(0, 1)])
    torch.testing.assert_close(tensor(inputs).values, bilinear(inputs).values)


def test_mfb_is_the_normalised_pooled_product():
    operator, (a, b) = build("mfb"), vectors(2)
    (weight_a, weight_b), (bias_a, bias_b) = operator.factors.weight, operator.factors.bias
    pooled = ((values(a) @ weight_a.T + bias_a) * (values(b) @ weight_b.T + bias_b)).unflatten(1, (4, 2)).sum(2)
    root = pooled.sign() * pooled.abs().sqrt()
    expected = operator.project(root / root.norm(dim=1, keepdim=True))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_signed_root_has_gradient_0_at_0():
    x = torch.tensor([-4.0, 0.0, 9.0], requires_grad=True)
    root = signed_sqrt(x)
    root.sum().backward()
    assert root.tolist() == [-2, 0, 3] and x.grad.tolist() == [0.25, 0, pytest.approx(1 / 6)]


def test_mutan_is_a_sum_of_rank_one_products():
    operator, (a, b) = build("mutan"), vectors(2)
    both = torch.stack([values(a), values(b)], 1)
    first, second = operator.factors(operator.reduce(both).tanh()).unflatten(2, (4, 4)).unbind(1)
    expected = operator.project((first * second).sum(1))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_block_fuses_each_chunk_apart():
    operator, inputs = build("block", 2, 8), vectors(2, 8)
    operator.project.weight.data = torch.eye(8, dtype=torch.float64)
    before = values(operator(inputs))
    operator.reduce.weight.data[:, 2:4] = 0  # the channels of the second of four chunks
    changed = (values(operator(inputs)) - before).abs().sum(0) > 0
    assert changed.tolist() == [False, False, True, True, False, False, False, False]


def test_block_with_one_chunk_is_mutan():
    block, mutan, inputs = build("block", 2, 5), build("mutan", 2, 5), vectors(2, 5)
    mutan.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(inputs).values, mutan(inputs).values)


def test_parameters_of_the_bilinear_family_in_its_reference():
    # Inputs of 100 and 80 channels, 10 outputs, 64 channels between, rank 15, 4 chunks.
    assert mfb_parameters([100, 80], 10, middle=64, factor=1) == 12_298  # MLB
    assert mfb_parameters([100, 80], 10, middle=64, factor=2) == 23_946
    assert mutan_parameters([100, 80], 10, middle=64, rank=15) == 137_098
    assert mutan_parameters([100, 80], 10, middle=64, rank=15, chunks=4) == 44_938


def test_multiplicative_interaction_without_its_matrix_is_additive():
    operator, additive, inputs = build("multiplicative_interaction"), build("additive"), vectors(2)
    operator.pairs.weight.data.zero_()
    additive.project.load_state_dict(operator.terms.state_dict())
    torch.testing.assert_close(operator(inputs).values, additive(inputs).values)


def test_multiplicative_interaction_without_its_terms_is_bilinear():
    operator, bilinear, inputs = build("multiplicative_interaction"), build("bilinear"), vectors(2)
    operator.terms.weight.data.zero_()
    bilinear.pairs.weight.data = operator.pairs.weight.data
    torch.testing.assert_close(operator(inputs).values, bilinear(inputs).values)


def test_multiplicative_interaction_of_three_inputs_keeps_one_row_per_sample():
    # The reference gives (B, B, outputs) for three inputs.
    assert build("multiplicative_interaction", 3)(vectors(3)).values.shape == (5, 1, 4)


def test_vector_form_scales_each_channel():
    operator, (a, b) = build("multiplicative_interaction_vector"), vectors(2)
    scale, shift = operator.conditions(values(b)).split(4, 1)
    torch.testing.assert_close(values(operator([a, b])), scale * values(a) + shift)
    torch.testing.assert_close(values(operator([a, b.absent()])), values(a))


def test_scalar_form_scales_the_whole_input():
    operator, (a, b) = build("multiplicative_interaction_scalar"), vectors(2)
    scale, shift = operator.conditions(values(b)).split(1, 1)
    torch.testing.assert_close(values(operator([a, b])), scale * values(a) + shift)
    torch.testing.assert_close(values(operator([a, b.absent()])), values(a))


def test_parameters_of_multiplicative_interactions_in_their_reference():
    assert matrix_parameters([8, 4], 5) == 225
    assert vector_parameters([8], 4) == 72
    assert scalar_parameters([8]) == 18
    assert tensor_width([8, 4, 6]) * 5 == 1575  # with all products of three inputs it is tensor fusion
