"""MLB, MFH, Tucker, BlockTucker and MCB: what their formulas mean, their exact fall-backs, and golden counts."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.operators import operators
from fusionnas.operators.mfb import mfb_parameters
from fusionnas.operators.tucker import tucker_parameters


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=8, batch=5):
    return [Feature.vector(torch.randn(batch, width, dtype=torch.float64)) for _ in range(count)]


def values(feature):
    return feature.values.squeeze(-2)


def build(name, inputs=2, width=8):
    return operators[name](inputs, width).double()


def test_mlb_is_the_product_of_squashed_projections():
    operator, (a, b) = build("mlb"), vectors(2)
    first, second = operator.factors.weight
    expected = operator.project((values(a) @ first.T).tanh() * (values(b) @ second.T).tanh())
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_mfh_pools_the_product_of_both_orders():
    operator, (a, b) = build("mfh"), vectors(2)
    product = torch.stack([values(a), values(b)], 1)
    first, second = operator.factors(product).prod(1).split(16, 1)
    roots = [p.unflatten(1, (8, 2)).sum(2) for p in (first, first * second)]
    roots = [p.sign() * p.abs().sqrt() for p in roots]
    expected = operator.project(torch.cat([r / r.norm(dim=1, keepdim=True) for r in roots], 1))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_tucker_contracts_its_core():
    operator, (a, b) = build("tucker"), vectors(2)
    first, second = operator.reduce(torch.stack([values(a), values(b)], 1)).unbind(1)
    core = operator.core.weight.unflatten(1, (8, 8))  # output, second input, first input
    expected = operator.project(torch.einsum("ocd,bd,bc->bo", core, first, second))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_block_tucker_contracts_one_core_per_chunk():
    operator, (a, b) = build("block_tucker", 2, 12), vectors(2, 12)
    first, second = operator.reduce(torch.stack([values(a), values(b)], 1)).unflatten(2, (3, 4)).unbind(1)
    cores = operator.cores.weight.unflatten(2, (4, 4))
    expected = operator.project(torch.einsum("qocd,bqd,bqc->bqo", cores, first, second).flatten(1))
    torch.testing.assert_close(values(operator([a, b])), expected)


def test_block_tucker_of_one_chunk_is_tucker():
    block, tucker, inputs = build("block_tucker"), build("tucker"), vectors(2)
    state = block.state_dict()
    tucker.load_state_dict({name.replace("cores", "core"): v[0] if "cores" in name else v for name, v in state.items()})
    torch.testing.assert_close(block(inputs).values, tucker(inputs).values)


def test_tucker_without_an_input_is_a_slice_of_its_core():
    operator, (a, b) = build("tucker"), vectors(2)
    first = values(a) @ operator.reduce.weight[0].T
    core = operator.core.weight.unflatten(1, (8, 8))[:, 0]
    torch.testing.assert_close(values(operator([a, b.absent()])), operator.project(first @ core.T))


def test_mcb_sketches_the_outer_product():
    operator, (a, b) = build("mcb"), vectors(2)
    expected = torch.zeros(5, 32, dtype=torch.float64)
    for i in range(8):
        for j in range(8):
            place = (operator.places[0, i] + operator.places[1, j]) % 32
            sign = operator.signs[0, i] * operator.signs[1, j]
            expected[:, place] += sign * values(a)[:, i] * values(b)[:, j]
    scale = 4 / 32**0.5  # each sketch by 2 to unit variance, and the unitary transform
    torch.testing.assert_close(values(operator([a, b])), operator.project(expected * scale))


def test_mcb_has_the_same_hashes_in_every_process():
    assert operators["mcb"](2, 4).places.tolist() == operators["mcb"](3, 4).places[:2].tolist()
    assert set(operators["mcb"](2, 4).state_dict()) == {"project.weight", "project.bias"}


def test_mcb_of_half_precision_stays_half_precision():
    half = [f._replace(values=f.values.bfloat16()) for f in vectors(2)]
    assert operators["mcb"](2, 8).bfloat16()(half).values.dtype == torch.bfloat16


def test_parameters_in_the_reference():
    # Inputs of 100 and 80 channels, 10 outputs, 64 channels between.
    assert mfb_parameters([100, 80], 10, middle=2 * 64, factor=2) == 47_882  # MFH, two poolings
    assert tucker_parameters([100, 80], 10, middle=64) == 274_506
