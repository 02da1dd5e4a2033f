"""Stem, fixed encoder and searchable encoder."""

from __future__ import annotations

import pytest
import torch

from fusionnas.encoders.encoder import Encoder, SearchableEncoder
from fusionnas.encoders.stem import Stem
from fusionnas.feature import Feature, InputSpec

BINS, IDS = InputSpec(width=6, tokens=7), InputSpec(width=0, tokens=7, vocabulary=20)
CHOICES = ("gru", "tcn", "attention")


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def given(spec, batch=4, tokens=None, real=5):
    tokens = tokens or spec.tokens
    mask = (torch.arange(tokens) < real).expand(batch, -1).clone()
    mask[0] = False
    if spec.vocabulary:
        values = torch.randint(1, spec.vocabulary, (batch, tokens)) * mask
    else:
        values = torch.randn(batch, tokens, spec.width) * mask[..., None]
    return Feature(values, mask, mask.any(-1))


@pytest.mark.parametrize("spec", [BINS, IDS, InputSpec(width=6)], ids=["series", "ids", "vector"])
def test_stem_is_zero_where_masked_and_of_unit_scale(spec):
    feature = given(spec, batch=200)
    level = Stem(spec, 32)(feature)
    assert level.values.shape == (200, spec.tokens, 32)
    assert not level.values[~feature.mask].any()
    assert 0.7 < level.values[feature.mask].std() < 1.4
    assert level.mask is feature.mask and level.present is feature.present


@pytest.mark.parametrize("spec", [BINS, IDS], ids=["series", "ids"])
def test_stem_tells_places_apart_and_takes_longer_inputs(spec):
    feature = given(spec)
    same = feature._replace(values=torch.ones_like(feature.values))
    level = Stem(spec, 8)(same).values[1]
    assert (level[0] - level[1]).abs().max() > 0.1
    longer = given(spec, tokens=30, real=30)
    assert Stem(spec, 8)(longer).values.shape == (4, 30, 8)


@pytest.mark.parametrize("spec", [BINS, IDS], ids=["series", "ids"])
def test_what_stands_in_padding_never_matters(spec):
    encoder, feature = Encoder(spec, 8, ["attention", "gru"]), given(spec)
    noise = torch.randint(1, 20, feature.values.shape) if spec.vocabulary else torch.randn(feature.values.shape)
    mask = feature.mask if spec.vocabulary else feature.mask[..., None]
    noisy = feature._replace(values=torch.where(mask, feature.values, noise))
    for expected, out in zip(encoder(feature), encoder(noisy), strict=True):
        torch.testing.assert_close(out.values, expected.values)


def test_padding_at_the_end_never_changes_a_level():
    encoder, feature = Encoder(BINS, 8, ["tcn", "attention", "gru"]), given(BINS)
    longer = Feature(
        torch.nn.functional.pad(feature.values, (0, 0, 0, 4)),
        torch.nn.functional.pad(feature.mask, (0, 4)),
        feature.present,
    )
    for expected, out in zip(encoder(feature), encoder(longer), strict=True):
        torch.testing.assert_close(out.values[:, :7], expected.values)
        assert not out.values[:, 7:].any()


def test_dropout_acts_in_training_alone():
    stem, feature = Stem(BINS, 8, dropout=0.5), given(BINS)
    assert not torch.equal(stem(feature).values, stem(feature).values)
    stem.eval()
    assert torch.equal(stem(feature).values, stem(feature).values)


def test_levels_are_stem_and_layers():
    encoder = Encoder(BINS, 8, ["gru", "tcn"])
    levels = encoder(given(BINS))
    assert [tuple(level.values.shape) for level in levels] == [(4, 7, 8)] * 3
    assert {".".join(key.split(".")[:3]) for key in encoder.state_dict() if key.startswith("layers")} == {
        "layers.0.gru",
        "layers.1.tcn",
    }


@pytest.mark.parametrize("layers", [("gru", "gru"), ("attention", "tcn"), ("tcn",)])
def test_one_hot_weights_give_the_fixed_encoder(layers):
    searchable = SearchableEncoder(BINS, 8, CHOICES, 2).double()
    weights = torch.zeros(2, 3, dtype=torch.float64)
    for level, name in enumerate(layers):
        weights[level, CHOICES.index(name)] = 1
    fixed = Encoder(BINS, 8, layers).double()
    own = searchable.state_dict()
    fixed.load_state_dict({key: own[key] for key in fixed.state_dict()})
    feature = given(BINS)
    feature = feature._replace(values=feature.values.double())
    mixed = searchable(feature, weights)
    for expected, out in zip(fixed(feature), mixed, strict=False):
        assert torch.equal(out.values, expected.values)
    for level in mixed[len(layers) + 1 :]:  # no choice has a weight
        assert not level.values.any()


def test_choices_of_weight_zero_are_not_run():
    searchable = SearchableEncoder(BINS, 8, CHOICES, 1)
    for choices in searchable.layers:
        choices["attention"].answer.weight.data.fill_(torch.nan)
    levels = searchable(given(BINS), torch.tensor([[0.5, 0.5, 0.0]]))
    assert levels[1].values.isfinite().all()


def test_mixing_weights_get_gradients_also_where_they_are_zero():
    searchable = SearchableEncoder(BINS, 8, CHOICES, 2)
    weights = torch.tensor([[1.0, 0, 0], [0, 1, 0]], requires_grad=True)
    searchable(given(BINS), weights)[-1].values[..., 0].sum().backward()
    assert weights.grad is not None and weights.grad.abs().min() > 1e-3
