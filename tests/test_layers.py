"""Layers alone and stacked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.feature import all_there, everywhere, known
from fusionnas.layers import LayerNorm, Linear, SlotLinear, leading_block, per_member, stack_modules
from fusionnas.operators.base import by_slot, slot_product, slot_sum

LAYERS = {
    "linear": (lambda: Linear(6, 5), (7, 4, 6)),
    "linear without bias": (lambda: Linear(6, 5, bias=False), (7, 6)),
    "slots": (lambda: SlotLinear(4, 6, fan_out=5), (7, 4, 6)),
    "norm": (lambda: LayerNorm(6), (7, 4, 6)),
}


def _random(build):
    module = build()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("name", LAYERS)
def test_stack_equals_members(name):
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    modules, x = [_random(build) for _ in range(3)], torch.randn(3, *shape)
    stacked = stack_modules(modules)(x)
    for member, module in enumerate(modules):
        torch.testing.assert_close(stacked[member], module(x[member]), atol=1e-5, rtol=1e-5)


def test_stack_keeps_its_own_values():
    module = Linear(3, 2)
    before = module.weight.clone()
    stack = stack_modules([module, module])
    stack.weight.data.zero_()
    assert torch.equal(module.weight, before) and stack.weight.shape == (2, 2, 3)


def test_linear_agrees_with_torch():
    ours, theirs, x = Linear(6, 5), nn.Linear(6, 5), torch.randn(7, 6)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))


def test_slot_linear_keeps_slots_apart():
    layer, x = SlotLinear(3, 4, fan_out=2), torch.randn(5, 3, 4)
    nn.init.normal_(layer.bias)
    expected = torch.stack([x[:, j] @ layer.weight[j].T + layer.bias[j] for j in range(3)], 1)
    torch.testing.assert_close(layer(x), expected)


def test_norm_agrees_with_torch():
    x = torch.randn(5, 8)
    torch.testing.assert_close(LayerNorm(8)(x), nn.LayerNorm(8)(x))


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_gain_is_the_scale_of_the_output(gain):
    torch.manual_seed(0)
    x = torch.randn(500, 3, 64)
    for layer in (Linear(64, 64, gain=gain), SlotLinear(3, 64, fan_out=64, gain=gain)):
        assert abs(layer(x).std().item() / gain - 1) < 0.1


def test_per_member_broadcasts_a_stack():
    assert per_member(torch.ones(4), torch.ones(2, 3, 4)).shape == (4,)
    assert per_member(torch.ones(2, 4), torch.ones(2, 5, 3, 4)).shape == (2, 1, 1, 4)


def test_leading_block_cuts_every_dimension():
    wide = torch.arange(12).reshape(3, 4)
    assert leading_block(torch.empty(2, 3), wide).tolist() == [[0, 1, 2], [4, 5, 6]]


def test_a_stack_of_slots_reads_them_apart_and_so_lies_its_gradient():
    modules, x = [SlotLinear(2, 6, fan_out=5) for _ in range(3)], torch.randn(3, 7, 2, 6)
    stacked = stack_modules(modules)
    out = stacked(x)
    assert all(member.is_contiguous() for slot in by_slot(out) for member in slot)
    slot_product(out).sum().backward()
    for member, module in enumerate(modules):
        module(x[member]).prod(-2).sum().backward()
        torch.testing.assert_close(stacked.weight.grad[member], module.weight.grad)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_sum_over_slots_leaves_absent_ones_out(share):
    torch.manual_seed(0)
    weights, values, present = torch.randn(4, 3, 5), torch.randn(4, 3, 5), torch.rand(4, 3) < share
    expected = (weights * values * present.unsqueeze(-1)).sum(-2)
    torch.testing.assert_close(slot_sum(weights, values, present), expected)


def test_flags_that_are_all_true_are_known_without_looking():
    flags = all_there(3, 2)
    assert known(flags) and known(flags[..., 0]) and known(flags.unsqueeze(-1)) and everywhere(flags) and flags.all()
    copy = flags.clone()
    assert not known(copy) and everywhere(copy)
    copy[1, 1] = False
    assert not everywhere(copy) and flags.all()
