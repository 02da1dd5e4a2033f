"""Proposals depend on the seed and on what was told, on nothing else."""

from __future__ import annotations

from typing import get_args

import pytest

from fusionnas.errors import InputError
from fusionnas.space.schema import Range
from fusionnas.studies.sampler import Proposals, Sampler, check_sampler

RANGES = {"rate": Range(low=1e-4, high=1e-1, log=True), "depth": Range(low=1, high=4), "method": ("darts", "gdas")}


def asked(sampler: str, seed: int, count: int = 14) -> list[dict[str, object]]:
    proposals = Proposals(sampler, RANGES, seed=seed, lag=3)
    found = []
    for number in range(count):
        if number >= 3:
            values = found[number - 3]
            proposals.tell(number - 3, None if number == 5 else values["rate"] * values["depth"])
        found.append(proposals.ask())
    return found


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_the_same_again_with_the_same_seed(sampler: str) -> None:
    first = asked(sampler, 1)
    assert first == asked(sampler, 1) != asked(sampler, 2)
    for values in first:
        assert (
            1e-4 <= values["rate"] <= 1e-1 and values["depth"] in (1, 2, 3, 4) and values["method"] in RANGES["method"]
        )
        assert isinstance(values["depth"], int)


def test_tpe_looks_where_losses_were_low() -> None:
    tail = asked("tpe", 0, 40)[20:]
    assert sum(values["rate"] < 3e-3 for values in tail) > 12


def test_an_unknown_sampler_is_told() -> None:
    with pytest.raises(InputError, match="--sampler: given 'cma', expected one of tpe, random, nsga2, gp"):
        check_sampler("cma")
