"""Every development sample is held out once; groups never cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusionnas.data.base import SearchData
from fusionnas.search.choice import no_worse, one_standard_error, within_doubt
from fusionnas.search.folds import fold
from tests.spaces import random_part, tiny_data, tiny_signature


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_fold_0_holds_select_out_and_the_parts_of_a_fold_are_disjoint_and_complete(count: int) -> None:
    data = tiny_data()
    everything = sorted([*data.train.ids, *data.alpha.ids, *data.select.ids])
    assert list(fold(data, 0, count, seed=0)[1].ids) == list(data.select.ids)
    for number in range(count):
        train, held_out = fold(data, number, count, seed=0)
        assert sorted([*train.ids, *held_out.ids]) == everything


def test_five_folds_hold_every_sample_out_once_and_keep_class_shares() -> None:
    data = tiny_data(200)
    held_out = [fold(data, number, 5, seed=1)[1] for number in range(5)]
    names = np.concatenate([part.ids for part in held_out])
    assert len(names) == len(set(names)) == 400
    shares = [float(part.target.float().mean()) for part in held_out[1:]]
    assert max(shares) - min(shares) < 0.03


def test_groups_stay_on_one_side() -> None:
    part = random_part(120, 1)
    grouped = replace(part, groups=np.array([f"patient {i // 4}" for i in range(120)]))
    other = random_part(40, 2)
    data = SearchData(grouped, replace(other, groups=np.array(["x"] * 40)), random_part(40, 3), tiny_signature())
    for number in range(1, 4):
        train, held_out = fold(data, number, 4, seed=0)
        assert not set(train.groups) & set(held_out.groups)


def test_cut_depends_on_the_seed_alone() -> None:
    data = tiny_data()
    assert list(fold(data, 2, 5, seed=3)[1].ids) == list(fold(data, 2, 5, seed=3)[1].ids)
    assert list(fold(data, 2, 5, seed=3)[1].ids) != list(fold(data, 2, 5, seed=4)[1].ids)


def test_a_class_rarer_than_the_folds_is_no_obstacle() -> None:
    part = random_part(60, 1)
    part.target[:] = 0
    part.target[0] = 1
    data = SearchData(part, random_part(2, 2), random_part(20, 3), tiny_signature())
    data.alpha.target[:] = 0
    assert sum(len(fold(data, number, 5, seed=0)[1]) for number in range(1, 5)) == 62


def test_simplest_within_one_standard_error_then_lowest() -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    base = torch.rand(400, generator=generator)
    noise = 0.2 * torch.randn(400, generator=generator)
    noise -= noise.mean()
    losses = torch.stack([base, base + noise + 0.005, base + noise + 0.05, base + 0.2])
    assert one_standard_error(losses, [3, 2, 1, 1]) == 1  # a tie beyond doubt: fewer modalities win
    assert one_standard_error(losses, [2, 2, 1, 1]) == 0  # equal modalities: the lowest loss wins
    assert one_standard_error(losses, [3, 3, 3, 1]) == 0  # simpler but clearly worse


def test_losses_closer_than_one_sample_can_tell_are_equal() -> None:
    import torch

    assert no_worse(torch.full((500,), 0.0019))
    assert not no_worse(torch.full((500,), 0.0021))


def test_doubt_is_two_standard_errors() -> None:
    import torch

    noise = torch.tensor([1.0, -1.0]).repeat(200)
    error = float(noise.std()) / 400**0.5
    assert [within_doubt(noise + errors * error + 1 / 400) for errors in (-3, 1.9, 2.1)] == [True, True, False]
    assert not no_worse(noise + 1.1 * error + 1 / 400)
