"""Stacked heads are the same networks as heads trained one by one."""

from __future__ import annotations

import random

import pytest
import torch

from fusionnas.network import FusionHead
from fusionnas.search.cache import Cache, build_caches
from fusionnas.search.halving import halve, rescore
from fusionnas.search.heads import Candidate, HeadSettings, HeadStack, SequentialHeads, initial_head
from fusionnas.search.pool import pool
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import even
from tests.spaces import DECISIONS, OPERATORS, tiny_data, tiny_signature, tiny_space

SETTINGS = HeadSettings(width=8, outputs=1, batch_size=32)


@pytest.fixture(scope="module")
def caches() -> dict[str, Cache]:
    space, data = tiny_space(), tiny_data()
    torch.manual_seed(0)
    supernet = Supernet(space, tiny_signature()).eval()
    mixing = Alphas(space).mixing(even)
    encode = lambda inputs: supernet.encode(inputs, mixing)  # noqa: E731
    return build_caches(encode, {"train": data.train, "select": data.select}, space.points(), tokens=True)


def candidates_of(space: SearchSpace, operators: tuple[str, ...], count: int) -> list[Candidate]:
    rng, found = random.Random(1), []
    while len(found) < count:
        architecture = space.sample(rng, nodes=len(operators))
        candidate = Candidate(architecture, seed=5)
        if candidate.operators == operators and candidate not in found:
            found.append(candidate)
    return found


def test_cache_is_standardised_on_real_tokens_and_ends_with_nothing(caches: dict[str, Cache]) -> None:
    cache = caches["train"]
    assert cache.tokens is not None and cache.masks is not None
    real = cache.tokens[0][cache.masks[0]]
    torch.testing.assert_close(real.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(real.std(0), torch.ones(8), atol=1e-4, rtol=0)
    assert not cache.present[-1].any() and not cache.vectors[-1].any()


@pytest.mark.parametrize(
    "operators",
    [("additive",), ("low_rank_tensor",), ("cross_attention",), ("gated", "mlp"), ("multiplicative", "cross_attention"),
     ("cross_attention", "cross_attention"), ("cross_attention", "gated"), ("late_stacking",),
     ("gated", "late_probabilities")],
)  # fmt: skip
def test_stacked_heads_equal_single_heads(caches: dict[str, Cache], operators: tuple[str, ...]) -> None:
    space = tiny_space(operators=(*OPERATORS, *DECISIONS))
    members = candidates_of(space, operators, 6)
    stack = HeadStack(members, SETTINGS, space.points())
    alone = SequentialHeads(members, SETTINGS, space.points())
    torch.testing.assert_close(stack.losses(caches["select"]), alone.losses(caches["select"]), rtol=1e-5, atol=1e-5)
    for heads in (stack, alone):
        heads.fit(caches["train"], [1.0], seed=3)
    torch.testing.assert_close(stack.losses(caches["select"]), alone.losses(caches["select"]), rtol=1e-3, atol=1e-3)


def test_sequences_of_the_pool_decide_last_or_not_at_all() -> None:
    space = tiny_space(nodes=3, operators=("additive", "mlp", *DECISIONS))
    layers = {name: m.encoder[:1] * m.levels for name, m in space.file.modalities.items()}
    found, references = pool(space, layers, heads=60, rng=random.Random(0))
    assert len(found) == 60 + references
    assert all(space.problems(architecture) == [] for architecture in found[references:])
    assert {a.nodes[-1].operator for a in found if a.nodes} >= set(DECISIONS)


def test_kept_members_go_on_as_if_the_others_had_never_been(caches: dict[str, Cache]) -> None:
    space = tiny_space()
    members = candidates_of(space, ("additive", "gated"), 5)
    thinned, whole = (HeadStack(members, SETTINGS, space.points()) for _ in range(2))
    thinned.fit(caches["train"], [1.0], seed=3)
    thinned.keep([1, 4])
    thinned.fit(caches["train"], [1.0], seed=3, start=1)
    whole.fit(caches["train"], [1.0, 1.0], seed=3)
    torch.testing.assert_close(
        thinned.losses(caches["select"]), whole.losses(caches["select"])[[1, 4]], rtol=1e-4, atol=1e-5
    )


def test_initial_head_is_a_function_of_architecture_and_seed(caches: dict[str, Cache]) -> None:
    candidate = candidates_of(tiny_space(), ("mlp",), 1)[0]
    first = initial_head(candidate, SETTINGS).state_dict()
    torch.rand(7)
    again = initial_head(candidate, SETTINGS).state_dict()
    other = initial_head(Candidate(candidate.architecture, seed=6), SETTINGS).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["readout.weight"], other["readout.weight"])
    assert isinstance(initial_head(candidate, SETTINGS), FusionHead)


def test_halving_ranks_by_loss_and_is_the_same_twice(caches: dict[str, Cache]) -> None:
    space = tiny_space()
    layers = {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}
    contestants, references = pool(space, layers, heads=24, rng=random.Random(0))
    assert references < len(contestants) == len(set(contestants))

    def run() -> list[tuple[Candidate, float]]:
        return halve([Candidate(a, 0) for a in contestants], caches["train"], caches["select"], SETTINGS,
                     rungs=(1, 1), eta=4, keep=4, seed=0, watch=lambda *_: None)  # fmt: skip

    ranked = run()
    losses = [loss for _, loss in ranked]
    assert losses == sorted(losses) and ranked == run()
    assert len(ranked) == max(4, -(-len(contestants) // 4))
    table = rescore([c.architecture for c, _ in ranked], caches["train"], caches["select"], SETTINGS,
                    epochs=2, seeds=2, seed=0, watch=lambda *_: None)  # fmt: skip
    assert table.shape == (len(ranked), 48) and table.isfinite().all()


def test_a_small_space_is_tried_whole() -> None:
    space = tiny_space(nodes=1, inputs="2", operators=("additive", "mlp"))
    layers = {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}
    contestants, _ = pool(space, layers, heads=1000, rng=random.Random(0))
    inside = [a for a in contestants if space.contains(a)]
    assert len(inside) == 7 + 2 * 21  # seven points; pairs of seven points, two operators
