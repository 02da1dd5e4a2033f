"""Ranks: they share every batch, stay equal in all bits, and do what one process does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing

import fusionnas as fn
from fusionnas.device import CPU
from fusionnas.errors import InputError
from fusionnas.layers import Dropout, Rows
from fusionnas.space import SearchSpace
from fusionnas.testing.elsewhere import second_device
from fusionnas.training.randomness import seeded
from fusionnas.training.ranks import Alone, TorchRanks, own_rows
from tests.search.ranks import KINDS, as_rank, trained
from tests.test_whole_way import write_toy

SAME = [kind for kind in KINDS if kind != "statistics"]


def parameters(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {f"{part}.{name}": state[part][name] for part in ("supernet", "alphas") for name in state[part]}


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    (first, second), keys = map(parameters, (one, other)), parameters(one).keys()
    return keys == parameters(other).keys() and all(torch.equal(first[key], second[key]) for key in keys)


@pytest.mark.parametrize("whole, size", [(1, 1), (7, 2), (8, 3), (2, 5), (1, 2)])
def test_the_rows_of_all_ranks_are_the_batch_and_their_weights_one(whole: int, size: int) -> None:
    ranks = [Alone() for _ in range(size)]
    for place, rank in enumerate(ranks):
        rank.rank, rank.size = place, size
    rows = [own_rows(rank, whole) for rank in ranks]
    assert [index for part in rows if part.weight for index in range(whole)[part.own]] == list(range(whole))
    assert sum(part.weight for part in rows) == pytest.approx(1)
    assert all(part.own == slice(0, 1) for part in rows if not part.weight)


def test_more_ranks_than_cores_are_told_before_anything_begins(tmp_path: Path) -> None:
    space = SearchSpace.load(write_toy(tmp_path), ["search.data_parallel=999"])
    told = r"search.data_parallel: given 999, but this machine has \d+ CPUs and every rank needs one; give \d+ or fewer"
    with pytest.raises(InputError, match=told):
        fn.search(space, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dropout_on_a_part_of_a_batch_has_the_mask_of_the_whole() -> None:
    dropout, values = Dropout(0.5), torch.ones(6, 3, 4)
    with seeded(1):
        whole = dropout(values)
    dropout.rows = Rows(slice(2, 5), 6, 0.5)
    with seeded(1):
        assert torch.equal(dropout(values[2:5]), whole[2:5])


def test_a_group_of_one_rank_has_the_bits_of_one_process() -> None:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        found = trained("second", ranks=TorchRanks())
        with pytest.raises(ZeroDivisionError):
            TorchRanks().agreed(lambda: 1 // 0)
    finally:
        distributed.destroy_process_group()
    assert same_bits(found, trained("second"))


def test_tensors_are_summed_where_the_group_is_and_come_back_to_where_they_were() -> None:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        with second_device() as device:
            there, here = torch.ones(2, 3).to(device), torch.full((4,), 2.0)
            first, second, nothing = TorchRanks(CPU).summed([there, here, None], [there, here, here])
            assert first is not None and second is not None and nothing is None
            assert (first.device, second.device) == (device, CPU)
            assert torch.equal(first.cpu(), torch.ones(2, 3)) and torch.equal(second, here)
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """State of two ranks after each kind of training."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(as_rank, args=(2, str(folder), tuple(KINDS)), nprocs=2)
    return {kind: [torch.load(folder / f"{kind}-{rank}.pt") for rank in (0, 1)] for kind in KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAME)
def test_two_ranks_have_equal_bits_and_draw_the_same_paths(kind: str, two: dict[str, list[dict[str, Any]]]) -> None:
    first, second = two[kind]
    assert same_bits(first, second)
    assert first["seen"] == second["seen"] and first["history"] == second["history"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs, and torch with CUDA")
def test_two_ranks_on_gpus_have_equal_bits(tmp_path: Path) -> None:
    multiprocessing.spawn(as_rank, args=(2, str(tmp_path), ("first", "second"), 2, "cuda"), nprocs=2)
    for kind in ("first", "second"):
        first, second = (torch.load(tmp_path / f"{kind}-{rank}.pt") for rank in (0, 1))
        assert same_bits(first, second) and first["history"] == second["history"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAME)
def test_two_ranks_do_what_one_process_does(kind: str, two: dict[str, list[dict[str, Any]]]) -> None:
    alone = trained(kind)
    assert len(alone["seen"]) == len(two[kind][0]["seen"]) > 8
    assert any(value.any() for name, value in alone["alphas"].items() if not name.startswith("closures"))
    for name, value in parameters(alone).items():
        # Adam divides by the gradient's own size: where that is near its epsilon, rounding is seen.
        assert torch.allclose(parameters(two[kind][0])[name], value, atol=1e-5, rtol=1e-5), name


@pytest.mark.slow
def test_ranks_that_part_are_told_on_every_rank(two: dict[str, list[dict[str, Any]]]) -> None:
    for rank in two["statistics"]:
        assert rank["error"].startswith("the ranks' supernets differ after epoch 1; an operator or encoder that keeps")
