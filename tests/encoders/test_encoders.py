"""What the layers of the encoders mean, on values; the contract is in test_conformance.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.encoders import encoders
from fusionnas.feature import Feature, InputSpec

BINS = InputSpec(width=8, tokens=7)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def tokens(length=7, width=8, batch=3):
    return Feature(
        torch.randn(batch, length, width),
        torch.ones(batch, length, dtype=torch.bool),
        torch.ones(batch, dtype=torch.bool),
    )


def test_gru_agrees_with_torch():
    layer, feature, theirs = encoders["gru"](8, BINS), tokens(), nn.GRU(8, 8, batch_first=True)
    for ours, name in ((layer.input, "ih"), (layer.hidden, "hh")):
        nn.init.normal_(ours.bias)
        getattr(theirs, f"weight_{name}_l0").data = ours.weight.detach()
        getattr(theirs, f"bias_{name}_l0").data = ours.bias.detach()
    states, _ = theirs(feature.values)
    expected = layer.norm(feature.values + states)
    torch.testing.assert_close(layer(feature).values, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masked", [0, 3, 6])
def test_gru_carries_its_state_through_a_masked_step(masked):
    layer, feature = encoders["gru"](8, BINS), tokens()
    keep = torch.arange(7) != masked
    holed = Feature(feature.values * keep[:, None], feature.mask & keep, feature.present)
    shorter = Feature(feature.values[:, keep], feature.mask[:, keep], feature.present)
    torch.testing.assert_close(layer(holed).values[:, keep], layer(shorter).values)


def test_tcn_agrees_with_torch():
    layer, feature = encoders["tcn"](8, BINS), tokens()

    def conv(x, linear, dilation):
        weight = linear.weight.unflatten(1, (3, 8)).permute(0, 2, 1)
        padded = nn.functional.pad(x.transpose(1, 2), (2 * dilation, 0))
        return nn.functional.conv1d(padded, weight, linear.bias, dilation=dilation).transpose(1, 2)

    out = conv(nn.functional.gelu(conv(feature.values, layer.near, 1)), layer.far, 3)
    torch.testing.assert_close(layer(feature).values, layer.norm(feature.values + out), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gru", "tcn"])
def test_causal_layers_do_not_see_the_future(name):
    layer, feature = encoders[name](8, BINS), tokens()
    changed = feature._replace(values=feature.values + (torch.arange(7) >= 4)[:, None])
    torch.testing.assert_close(layer(changed).values[:, :4], layer(feature).values[:, :4])
    assert (layer(changed).values[:, 4:] - layer(feature).values[:, 4:]).abs().max() > 0.1


@pytest.mark.parametrize("grid", [(2, 3), ()])
def test_cnn_agrees_with_its_definition(grid):
    layer, feature = encoders["cnn"](8, InputSpec(width=4, tokens=6, grid=grid)), tokens(6)

    def conv(x, linear):
        image = x.reshape(len(x), *(grid or (1, 6)), 8)
        rows, columns = image.shape[1:3]
        image = nn.functional.pad(image, (0, 0, 1, 1, 1, 1))
        places = [(i, j) for i in (range(3) if grid else (1,)) for j in range(3)]
        weights = linear.weight.unflatten(1, (len(places), 8)).unbind(1)
        taps = [image[:, i : i + rows, j : j + columns] for i, j in places]
        return sum(tap @ weight.T for tap, weight in zip(taps, weights, strict=True)).flatten(1, 2) + linear.bias

    out = conv(nn.functional.gelu(conv(feature.values, layer.first)), layer.second)
    torch.testing.assert_close(layer(feature).values, layer.norm(feature.values + out), atol=1e-5, rtol=1e-5)


def test_attention_agrees_with_torch():
    layer, feature = encoders["attention"](8, BINS), tokens()
    mask = feature.mask.clone()
    mask[0, 4:] = False
    feature = Feature(feature.values * mask[..., None], mask, feature.present)
    theirs = nn.MultiheadAttention(8, 4, bias=False, batch_first=True)
    theirs.in_proj_weight.data, theirs.out_proj.weight.data = layer.ask.weight.detach(), layer.answer.weight.detach()
    read = layer.norm_in(feature.values)
    hidden = feature.values + theirs(read, read, read, key_padding_mask=~mask)[0]
    expected = layer.norm(hidden + layer.block(layer.norm_ffn(hidden)))
    torch.testing.assert_close(layer(feature).values[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_embedding_reads_the_bag_but_not_the_order():
    layer, feature = encoders["embedding"](8, InputSpec(width=0, tokens=7, vocabulary=9)), tokens()
    order = torch.tensor([3, 1, 0, 6, 5, 2, 4])
    moved = feature._replace(values=feature.values[:, order])
    torch.testing.assert_close(layer(moved).values, layer(feature).values[:, order])
    changed = feature._replace(values=torch.cat((feature.values[:, :6], feature.values[:, 6:] + 1), 1))
    assert (layer(changed).values[:, :6] - layer(feature).values[:, :6]).abs().max() > 0.01


@pytest.mark.parametrize("name", ["mlp", "summary"])
def test_perceptron_is_residual(name):
    layer, feature = encoders[name](8, InputSpec(width=5)), tokens(1)
    nn.init.zeros_(layer.block.project.weight)
    torch.testing.assert_close(layer(feature).values, layer.norm(feature.values))


def test_every_view_of_the_space_file_is_asked_for():
    views = {view for name in encoders for view in encoders[name].facts.view.values()}
    assert views == {"plain", "summary", "bins", "frames", "tokens", "patches"}
