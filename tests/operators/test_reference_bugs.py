"""One test per defect of a reference implementation, named after it, that our implementation passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.feature import Feature
from fusionnas.operators import operators
from fusionnas.operators.crossmodal import MultimodalTransformer, positions
from fusionnas.operators.memory_fusion import MemoryFusionNetwork, MemorySizes
from fusionnas.operators.mfb import signed_sqrt
from fusionnas.operators.multiplicative_interaction import matrix_parameters


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=8, batch=5):
    return [Feature.vector(torch.randn(batch, width)) for _ in range(count)]


def series(batch, tokens, width):
    mask = torch.ones(batch, tokens, dtype=torch.bool)
    return Feature(torch.randn(batch, tokens, width), mask, mask[:, 0])


def padded(feature, count):
    """The same with so many masked steps behind."""
    values = nn.functional.pad(feature.values, (0, 0, 0, count))
    return Feature(values, nn.functional.pad(feature.mask, (0, count)), feature.present)


def mult(widths=(6, 4, 5), **sizes):
    return MultimodalTransformer(widths, **{"width": 8, "layers": 1, "heads": 2, "outputs": 1, **sizes}).eval()


def no_silent_parameters(module, out):
    out.square().sum().backward()
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]


def test_multibench_lmf_keeps_its_factors_in_a_list_and_never_trains_them():
    operator = operators["low_rank_tensor"](3, 8)
    assert no_silent_parameters(operator, operator(vectors(3)).values) == []
    other = operators["low_rank_tensor"](3, 8)
    other.load_state_dict(operator.state_dict())
    inputs = vectors(3)
    torch.testing.assert_close(other(inputs).values, operator(inputs).values)


def test_multibench_three_way_interaction_mixes_the_samples_of_a_batch():
    operator, inputs = operators["multiplicative_interaction"](3, 8), vectors(3)
    out = operator(inputs).values
    assert out.shape == (5, 1, 8) and matrix_parameters([8] * 3, 8) == sum(p.numel() for p in operator.parameters())
    alone = operator([f.rows(torch.tensor([2])) for f in inputs]).values
    torch.testing.assert_close(alone, out[2:3])


def test_multibench_mult_takes_equal_lengths_only():
    lengths = (50, 75, 33)
    out = mult()([series(2, tokens, width) for tokens, width in zip(lengths, (6, 4, 5), strict=True)])
    assert out.shape == (2, 1) and out.isfinite().all()
    operator = operators["crossmodal_transformer"](3, 8)
    assert operator([series(2, tokens, 8) for tokens in lengths]).values.isfinite().all()


@pytest.mark.parametrize("batch", [1, 3])
def test_mult_crashes_where_a_batch_has_several_samples(batch):
    assert mult()([series(batch, 4, width) for width in (6, 4, 5)]).shape == (batch, 1)


def test_mult_has_no_padding_mask():
    network, inputs = mult(), [series(2, 4, width) for width in (6, 4, 5)]
    torch.testing.assert_close(network([padded(f, 10) for f in inputs]), network(inputs))


def test_mult_takes_a_step_whose_first_channel_is_0_for_padding():
    mask = torch.ones(1, 3, dtype=torch.bool)
    values = torch.randn(1, 3, 8)
    plain = positions(mask, values)
    values[:, 1, 0] = 0
    torch.testing.assert_close(positions(mask, values), plain)
    assert not torch.equal(plain[0, 1], plain[0, 0])


def test_mult_repeats_positions_in_half_precision():
    mask = torch.ones(1, 600, dtype=torch.bool)
    exact = positions(mask, torch.zeros(1, 600, 8))
    half = positions(mask, torch.zeros(1, 600, 8, dtype=torch.bfloat16))
    torch.testing.assert_close(half.float(), exact, atol=4e-3, rtol=0)
    assert len(exact[0].unique(dim=0)) == 600


@pytest.mark.parametrize("width", [2, 3])
def test_mult_divides_by_zero_at_two_and_three_channels(width):
    assert mult(width=width, heads=1)([series(2, 4, w) for w in (6, 4, 5)]).isfinite().all()


def test_mult_keeps_a_buffer_on_a_function_and_cannot_be_compiled():
    torch.compiler.reset()
    network = mult()
    inputs = [series(2, 3, w) for w in (6, 4, 5)]
    compiled = torch.compile(network, fullgraph=True, backend="eager", dynamic=False)
    torch.testing.assert_close(compiled(inputs), network(inputs))


@pytest.mark.parametrize("name", ["tensor", "low_rank_tensor"])
def test_lmf_and_tfn_crash_at_a_single_sample(name):
    operator, inputs = operators[name](3, 8), vectors(3)
    alone = operator([f.rows(torch.tensor([0])) for f in inputs]).values
    torch.testing.assert_close(alone, operator(inputs).values[:1])


@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_lmf_starts_with_a_signal_near_zero(inputs):
    out = operators["low_rank_tensor"](inputs, 64)(vectors(inputs, 64, batch=256)).values
    assert 0.2 < float(out.detach().std()) < 5


def test_mmsa_mfn_keeps_updating_its_memory_on_padding():
    network = MemoryFusionNetwork([3, 2], MemorySizes((4, 5), 6, 7, 8, 9, 10, 11), 2)
    inputs = [series(2, 4, 3), series(2, 4, 2)]
    torch.testing.assert_close(network([padded(f, 5) for f in inputs]), network(inputs))


def test_hpfn_takes_one_power_more_than_its_order():
    operator = operators["polynomial"](2, 8).double()
    operator.pool.constants.data.zero_()
    inputs = [Feature.vector(f.values.squeeze(1).double()) for f in vectors(2)]
    twice = [f._replace(values=2 * f.values) for f in inputs]
    assert operator.order == 2
    torch.testing.assert_close(operator(twice).values, 4 * operator(inputs).values)


def test_hpfn_has_no_gradient_at_zero():
    zero = torch.zeros(3, requires_grad=True)
    signed_sqrt(zero).sum().backward()
    assert zero.grad.tolist() == [0, 0, 0]
    for name in ("polynomial", "polynomial_windows", "mfb", "mfh"):
        inputs = [f._replace(values=torch.zeros_like(f.values).requires_grad_()) for f in vectors(2)]
        operators[name](2, 8)(inputs).values.sum().backward()
        assert all(f.values.grad.isfinite().all() for f in inputs), name


@pytest.mark.parametrize("name", ["modality_shift", "mag"])
def test_mag_moves_words_by_an_absent_modality(name):
    operator, (words, other) = operators[name](2, 8), vectors(2)
    for parameter in operator.parameters():
        nn.init.normal_(parameter)
    expected = operator.norm(words.values)
    torch.testing.assert_close(operator([words, other.absent()]).values, expected)


def test_mag_moves_padded_words():
    operator, words, other = operators["mag"](2, 8), series(2, 4, 8), series(2, 4, 8)
    real = torch.tensor([True, True, False, False]).expand(2, 4)
    out = operator([words._replace(mask=real), other])
    assert not out.values[:, 2:].any() and not out.mask[:, 2:].any()
    unheard = operator([words, other._replace(mask=real)]).values
    torch.testing.assert_close(unheard[:, 2:], operator.norm(words.values[:, 2:]))


def test_raven_detaches_its_nonverbal_branch():
    operator = operators["raven"](3, 8)
    inputs = [series(4, tokens, 8) for tokens in (3, 5, 6)]
    inputs = [f._replace(values=f.values.requires_grad_()) for f in inputs]
    assert no_silent_parameters(operator, operator(inputs).values) == []
    assert all(f.values.grad.abs().sum(-1).min() > 0 for f in inputs[:1]) and all(f.values.grad.any() for f in inputs)


@pytest.mark.parametrize("name", list(operators))
def test_sdk_dynamic_fusion_graph_hides_its_networks_in_a_dict(name):
    """Every module that an operator holds is registered: its parameters are those of its closed form."""
    cls = operators[name]
    inputs = max(2, cls.inputs_range[0])
    assert sum(value.numel() for value in cls(inputs, 8).state_dict().values()) == cls.count_parameters(inputs, 8)


def test_sdk_recurrent_fusion_repeats_steps_that_change_nothing():
    """Each stage goes on from the one before: the three fused states of a step differ."""
    operator = operators["recurrent_multistage"](2, 8)
    seen = []
    operator.fuse_state.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0]))
    operator([series(3, 1, 8), series(3, 1, 8)])
    first, second, third = seen
    assert not first.any() and not torch.equal(second, third) and second.any()


def test_sdk_tensor_fusion_appends_no_ones():
    operator, (a, b) = operators["tensor"](2, 8), vectors(2)
    assert set(operator.sub_blocks([a, b])) == {(), (0,), (1,), (0, 1)}
    alone = operator([a, b.absent()]).values
    assert not torch.equal(alone, operator([a.absent(), b]).values) and alone.any()


def test_block_tucker_shares_what_it_should_not():
    """The reference ignores ``shared``: our maps of two inputs are never one."""
    for name in ("tucker", "block_tucker", "mutan", "block"):
        operator = operators[name](2, 8)
        first, second = operator.reduce.weight
        assert not torch.equal(first, second), name
        operator(vectors(2)).values.square().sum().backward()
        assert not torch.equal(operator.reduce.weight.grad[0], operator.reduce.weight.grad[1]), name


def test_block_mcb_calls_a_transform_that_torch_no_longer_has():
    assert not hasattr(torch, "rfft")
    assert operators["mcb"](2, 8)(vectors(2)).values.isfinite().all()


def test_torchmultimodal_attention_fusion_fails_where_a_modality_is_missing():
    operator, (a, b) = operators["attention_gate"](2, 8), vectors(2)
    alone = operator([a, b.absent()]).values
    expected = a.values.squeeze(1) @ operator.transforms.weight[0].T + operator.transforms.bias[0]
    torch.testing.assert_close(alone.squeeze(1), expected)


def test_multibench_non_local_gate_does_not_scale_its_scores():
    """Doubling the channels, each held twice, leaves the weights of attention as they are but for sqrt(2)."""
    operator, (words, frames) = operators["non_local_gate"](2, 16), (series(2, 3, 16), series(2, 5, 16))
    key, value = operator.sources[0](frames.values).chunk(2, -1)
    weights = (operator.query(words.values) @ key.transpose(1, 2) / 4).softmax(-1)
    torch.testing.assert_close(operator([words, frames]).values, words.values + weights @ value)
