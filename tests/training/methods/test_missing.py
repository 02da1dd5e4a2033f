"""Modality dropout: each modality with its chance, never all, views of one source together."""

from __future__ import annotations

import pytest
import torch

from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace
from fusionnas.training.methods.missing import Missing
from tests.spaces import TEXT, random_inputs
from tests.training.problem import VIEWS, reads, recipe, trained


def test_each_modality_is_lost_as_often_as_asked_and_a_sample_keeps_at_least_one() -> None:
    inputs = random_inputs(4000, 1)
    torch.manual_seed(0)
    changed = Missing(VIEWS, 0.3).inputs(inputs)
    had = torch.stack([inputs["a"].present, inputs["b"].present | inputs["c"].present])
    has = torch.stack([changed["a"].present, changed["b"].present | changed["c"].present])
    assert not (has & ~had).any() and torch.equal(has.any(0), had.any(0))
    both = had.all(0)
    lost = (~has[:, both]).float().mean(1)
    # Of those with both: 0.3, less the half of 0.09 that would have lost everything.
    assert lost.tolist() == pytest.approx([0.255, 0.255], abs=0.02)


def test_views_of_one_source_go_together_and_what_is_absent_holds_nothing() -> None:
    inputs = random_inputs(500, 1)
    torch.manual_seed(0)
    changed = Missing(VIEWS, 0.5).inputs(inputs)
    gone = {name: inputs[name].present & ~changed[name].present for name in inputs}
    both = inputs["b"].present & inputs["c"].present
    assert torch.equal(gone["b"][both], gone["c"][both]) and gone["b"].any()
    for name, feature in changed.items():
        assert not feature.values[gone[name]].any() and not feature.mask[gone[name]].any()
        assert torch.equal(feature.values[feature.present], inputs[name].values[feature.present])


def test_it_is_off_at_rate_zero_and_for_one_modality() -> None:
    assert Missing.of(recipe(), reads()) is None
    on = recipe(robustness={"missing": 0.3})
    assert isinstance(Missing.of(on, reads()), Missing)
    assert Missing.of(on, reads("a")) is None and Missing.of(on, reads("b", "c")) is None


def test_a_network_trained_with_it_bears_a_missing_modality_better() -> None:
    plain, robust = (trained("film", robustness={"missing": rate}) for rate in (0.0, 0.4))
    assert plain.without("loud") > 0.3 and robust.without("loud") < 0.5 * plain.without("loud")
    assert robust.loss() < plain.loss() + 0.01


def test_it_needs_two_modalities() -> None:
    text = TEXT.format(nodes=1, inputs="2", operators="additive")
    text = text.replace("  a: {kind: vector, encoder: mlp, levels: 1}\n", "").replace(
        "dropout: 0.1}", "dropout: 0.1, robustness: {missing: 0.2}}"
    )
    with pytest.raises(SpaceError, match="missing: needs two modalities or more; this space has") as told:
        SearchSpace.parse(text)
    assert len(told.value.problems) == 1


def test_a_rate_out_of_bounds_and_an_unknown_key_are_told_together() -> None:
    text = TEXT.format(nodes=1, inputs="2", operators="additive")
    text = text.replace("dropout: 0.1}", "dropout: 0.1, robustness: {missing: 1.0, noize: 0.1}}")
    with pytest.raises(SpaceError) as told:
        SearchSpace.parse(text)
    assert any("training.robustness.missing: given 1.0, expected less than 1" in p for p in told.value.problems)
    assert any("training.robustness.noize: unknown key (did you mean 'noise'?)" in p for p in told.value.problems)
