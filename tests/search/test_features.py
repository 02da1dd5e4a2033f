"""Features are encoded once, standardised chunk by chunk, and found again in their folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from fusionnas.architecture import Point
from fusionnas.data.base import Part
from fusionnas.feature import Feature
from fusionnas.search import features as module
from fusionnas.search.features import Store, build_caches
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import even
from tests.spaces import random_part, tiny_signature, tiny_space

SPACE = tiny_space()
PARTS = {"train": random_part(96, 1), "select": random_part(48, 3)}


class Encoder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.supernet, self.calls = Supernet(SPACE, tiny_signature()).eval(), 0

    def __call__(self, inputs: Mapping[str, Feature]) -> Mapping[Point, Feature]:
        self.calls += 1
        return self.supernet.encode(inputs, Alphas(SPACE).mixing(even))


def build(encoder: Encoder, *, parts: Mapping[str, Part] = PARTS, store: Store | None = None, tokens: bool = True):
    return build_caches(encoder, parts, SPACE.points(), tokens=tokens, store=store)


def tensors(cache) -> list[torch.Tensor]:
    return [t for t in (cache.vectors, cache.present, cache.tokens, cache.masks, cache.target) if t is not None]


def test_every_real_token_of_the_first_part_counts_once() -> None:
    caches = build(Encoder())
    train = caches["train"]
    assert train.tokens is not None and train.masks is not None
    for place in range(len(SPACE.points())):
        real = train.tokens[:, place][train.masks[:, place]]
        torch.testing.assert_close(real.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
        assert not train.tokens[:, place][~train.masks[:, place]].any()
        assert not train.vectors[:, place][~train.present[:, place]].any()
    select = caches["select"].tokens
    assert select is not None and float(select.mean()) != pytest.approx(0, abs=1e-4)  # by the statistics of train


def test_chunks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(Encoder())
    monkeypatch.setattr(module, "CHUNK", 20)
    for name, cache in build(Encoder()).items():
        for a, b in zip(tensors(cache), tensors(whole[name]), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", [0, 2**30])
def test_a_store_encodes_once_and_gives_the_same_bits(tmp_path: Path, memory: int) -> None:
    encoder, plain = Encoder(), build(Encoder())
    for _ in range(2):
        kept = build(encoder, store=Store(tmp_path / "features", memory))
        for name, cache in kept.items():
            assert all(map(torch.equal, tensors(cache), tensors(plain[name])))
    assert encoder.calls == 2  # one chunk per part


def test_a_damaged_file_is_encoded_again(tmp_path: Path) -> None:
    encoder, store = Encoder(), Store(tmp_path / "features")
    first = build(encoder, store=store)
    file = tmp_path / "features" / "train" / "vectors.bin"
    file.write_bytes(b"\1" + file.read_bytes()[1:])
    again = build(encoder, store=store)
    assert encoder.calls == 4
    assert torch.equal(first["train"].vectors, again["train"].vectors)


def test_without_an_operator_that_reads_tokens_none_are_kept(tmp_path: Path) -> None:
    cache = build(Encoder(), store=Store(tmp_path / "f"), tokens=False)["train"]
    assert cache.tokens is None and cache.masks is None
    assert {f.name for f in (tmp_path / "f" / "train").iterdir()} == {"vectors.bin", "present.bin"}
