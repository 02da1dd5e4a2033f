"""Stacked heads are the same networks as heads trained one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from fusionnas.network import FusionHead
from fusionnas.search.cache import Cache
from fusionnas.search.contest import Contest
from fusionnas.search.features import build_caches
from fusionnas.search.halving import halve, head_rungs, rescore, rescore_epochs
from fusionnas.search.heads import Candidate, HeadSettings, SequentialHeads, initial_head
from fusionnas.search.stack import HeadStack
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import even
from tests.spaces import tiny_data, tiny_signature, tiny_space

SETTINGS = HeadSettings(width=8, outputs=1, batch_size=32, dropout=0.2)


@pytest.fixture(scope="module")
def caches() -> dict[str, Cache]:
    space, data = tiny_space(), tiny_data()
    torch.manual_seed(0)
    supernet = Supernet(space, tiny_signature()).eval()
    mixing = Alphas(space).mixing(even)
    encode = lambda inputs: supernet.encode(inputs, mixing)  # noqa: E731
    return build_caches(encode, {"train": data.train, "select": data.select}, space.points(), tokens=True)


@pytest.fixture
def contest(caches: dict[str, Cache]) -> Contest:
    return Contest(caches["train"], caches["select"], SETTINGS, seed=0)


def candidates_of(space: SearchSpace, operators: tuple[str, ...], count: int) -> list[Candidate]:
    rng, found = random.Random(1), []
    while len(found) < count:
        architecture = space.sample(rng, nodes=len(operators))
        candidate = Candidate(architecture, seed=5)
        if candidate.operators == operators and candidate not in found:
            found.append(candidate)
    return found


def test_batches_end_with_nothing(caches: dict[str, Cache]) -> None:
    cache = caches["train"]
    for batch in cache.batches(32, 0.5, seed=1):
        assert batch.vectors.shape == (len(cache.points) + 1, 32, 8)
        assert not batch.present[-1].any() and not batch.vectors[-1].any()


def test_batches_are_a_function_of_the_seed_and_dropout_keeps_the_mean(caches: dict[str, Cache]) -> None:
    first, again = (list(caches["train"].batches(96, 0.5, seed=4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True))
    (plain,) = caches["train"].batches(96)
    assert torch.equal(plain.vectors[:-1], caches["train"].vectors.transpose(0, 1)) and plain.fused is None
    fused = first[0].fused
    assert fused is not None and set(fused.unique().tolist()) == {0.0, 2.0}
    assert float(fused.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "operators",
    [("additive",), ("low_rank_tensor",), ("cross_attention",), ("gated", "mlp"), ("multiplicative", "cross_attention"),
     ("cross_attention", "cross_attention"), ("cross_attention", "gated"), ("late_stacking",),
     ("gated", "late_probabilities"), ("memory_fusion",), ("raven", "crossmodal_transformer"),
     ("mag", "ctc_alignment"), ("shared_perceiver", "cross_attention"), ("aligned_block", "joint_transformer")],
)  # fmt: skip
def test_stacked_heads_equal_single_heads(caches: dict[str, Cache], operators: tuple[str, ...]) -> None:
    space = tiny_space(operators=tuple(dict.fromkeys(("additive", *operators))))
    members = candidates_of(space, operators, 6)
    stack = HeadStack(members, SETTINGS, space.points())
    alone = SequentialHeads(members, SETTINGS, space.points())
    torch.testing.assert_close(stack.losses(caches["select"]), alone.losses(caches["select"]), rtol=1e-5, atol=1e-5)
    for heads in (stack, alone):
        heads.fit(caches["train"], [1.0, 0.5], seed=3)
    torch.testing.assert_close(stack.losses(caches["select"]), alone.losses(caches["select"]), rtol=1e-3, atol=1e-3)


def losses(contest: Contest, members: list[Candidate]) -> torch.Tensor:
    (found,) = (losses for _, _, losses in contest.losses(members, [1.0, 1.0], seed=0))
    return found


def test_a_head_trains_the_same_whoever_trains_beside_it(contest: Contest) -> None:
    members = candidates_of(tiny_space(), ("additive", "gated"), 9)
    together = losses(contest, members)
    apart = torch.cat([losses(contest, members[:2]), losses(contest, members[2:])])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_a_head_that_diverges_comes_last(contest: Contest) -> None:
    members = [Candidate(a, 0) for a in (space_sample(n) for n in range(6))]
    broken = replace(contest, train=replace(contest.train, vectors=contest.train.vectors.clone()))
    broken.train.vectors[:, 0] = torch.nan  # one fusion point
    point = broken.train.points[0]
    ranked = halve(members, broken, rungs=(1,), eta=2, keep=2, watch=lambda *_: None)
    reads = [point in candidate.architecture.points() for candidate, _ in ranked]
    assert reads == sorted(reads) and any(reads) and not all(reads)


def space_sample(seed: int):
    return tiny_space(operators=("additive",), nodes=1, inputs="2").sample(random.Random(seed), nodes=1)


def test_initial_head_is_a_function_of_architecture_and_seed(caches: dict[str, Cache]) -> None:
    candidate = candidates_of(tiny_space(), ("mlp",), 1)[0]
    first = initial_head(candidate, SETTINGS).state_dict()
    torch.rand(7)
    again = initial_head(candidate, SETTINGS).state_dict()
    other = initial_head(Candidate(candidate.architecture, seed=6), SETTINGS).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["readout.weight"], other["readout.weight"])
    assert isinstance(initial_head(candidate, SETTINGS), FusionHead)


def test_halving_ranks_by_loss_and_is_the_same_twice(contest: Contest) -> None:
    rng = random.Random(0)
    members = [Candidate(tiny_space(operators=("additive", "mlp"), nodes=1).sample(rng), 0) for _ in range(20)]

    def run() -> list[tuple[Candidate, float]]:
        return halve(members, contest, rungs=(1, 1), eta=4, keep=4, watch=lambda *_: None)

    ranked = run()
    losses = [loss for _, loss in ranked]
    assert losses == sorted(losses) and ranked == run()
    assert len(ranked) == max(4, -(-len(members) // 4))
    best = [candidate.architecture for candidate, _ in ranked]
    table = rescore(best, contest, epochs=2, seeds=2, watch=lambda *_: None)
    assert table.shape == (len(ranked), 48) and table.isfinite().all()


def test_survivors_are_scored_again_for_longer_than_the_rungs_took(contest: Contest) -> None:
    steps = -(-len(contest.train.target) // SETTINGS.batch_size)
    first, second = head_rungs((1, 3), contest)
    assert first * steps >= 70 > (first - 1) * steps and second == 3
    assert rescore_epochs((1, 3), contest) == 2 * (first + 3)
