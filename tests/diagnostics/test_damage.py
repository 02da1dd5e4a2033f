"""Damage does what it says and never touches what it was given."""

from __future__ import annotations

import pytest
import torch

from fusionnas.diagnostics.measures.damage import missing, missing_tokens, noise
from fusionnas.feature import Feature


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def series(samples: int = 400) -> Feature:
    mask = torch.rand(samples, 10, generator=generator()) < 0.7
    mask[0] = False
    values = torch.randn(samples, 10, 3, generator=generator()) * torch.tensor([1.0, 10.0, 0.1])
    return Feature(values * mask.unsqueeze(-1), mask, mask.any(1))


def ids() -> Feature:
    mask = torch.rand(200, 8, generator=generator()) < 0.6
    return Feature(torch.randint(1, 9, mask.shape, generator=generator()) * mask, mask, mask.any(1))


@pytest.mark.parametrize("damage", [noise, missing, missing_tokens])
@pytest.mark.parametrize("made", [series, ids])
def test_inputs_are_never_changed_and_nothing_appears_where_nothing_was(damage, made) -> None:
    feature, before = made(), made()
    for level in (0.0, 0.3, 1.0):
        hurt = damage(feature, level, generator())
        assert all(torch.equal(a, b) for a, b in zip(feature, before, strict=True))
        assert hurt.values.data_ptr() != feature.values.data_ptr()
        assert hurt.values.dtype == feature.values.dtype
        assert not (hurt.mask & ~feature.mask).any() and not (hurt.present & ~feature.present).any()
        assert (hurt.values[~hurt.mask] == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(damage(feature, 0.0, generator()), before, strict=True))


def test_noise_is_measured_in_standard_deviations_of_each_channel() -> None:
    feature = series()
    added = (noise(feature, 0.5, generator()).values - feature.values)[feature.mask]
    share = added.std(0) / feature.values[feature.mask].std(0)
    torch.testing.assert_close(share, torch.full((3,), 0.5), atol=0.02, rtol=0)


def test_ids_are_replaced_by_ids_that_occur() -> None:
    feature = ids()
    hurt = noise(feature, 1.0, generator())
    assert set(hurt.values[hurt.mask].tolist()) <= set(range(1, 9)) and not torch.equal(hurt.values, feature.values)


def test_shares_of_what_is_missing() -> None:
    feature = series(2000)
    gone = missing(feature, 0.3, torch.Generator().manual_seed(1))
    assert float(gone.present.float().mean() / feature.present.float().mean()) == pytest.approx(0.7, abs=0.03)
    assert torch.equal(gone.mask.any(1), gone.present)
    fewer = missing_tokens(feature, 0.4, torch.Generator().manual_seed(1))
    assert float(fewer.mask.float().mean() / feature.mask.float().mean()) == pytest.approx(0.6, abs=0.03)
    assert torch.equal(missing_tokens(feature, 1.0, generator()).mask.sum(1), feature.present.long())
