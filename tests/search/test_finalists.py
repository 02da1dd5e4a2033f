"""From finalists to a winner: references, removal of inputs, interactions, comparison with baselines."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from fusionnas.architecture import Node, Point
from fusionnas.network import build
from fusionnas.search.choice import kendall_tau
from fusionnas.search.compare import paired, summary, verdict
from fusionnas.search.interaction import interactions
from fusionnas.search.method import methods
from fusionnas.search.references import competes, early, fixed, late, named, sources
from tests.spaces import random_inputs, tiny_signature, tiny_space

A0, A1, B1, B2, C1 = Point("a", 0), Point("a", 1), Point("b", 1), Point("b", 2), Point("c", 1)


def layers_of(space):
    return {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}


def test_references_name_every_simple_alternative_once_and_build() -> None:
    space = tiny_space()
    found = named(space, layers_of(space))
    assert list(found) == ["only a", "only b", "early fusion", "late fusion", "fixed multiplicative", "fixed gated",
                           "fixed low_rank_tensor", "fixed cross_attention", "fixed mlp"]  # fmt: skip
    for architecture in found.values():
        assert build(space, architecture, tiny_signature())(random_inputs(3, 0)).shape == (3, 1)
    assert str(found["only a"]) == "only a.1"
    assert str(found["only b"]) == "additive(b.2, c.1)"  # two views of one modality
    assert early(space, layers_of(space)).nodes[0].inputs == (A0, Point("b", 0), Point("c", 0))
    assert late(space, layers_of(space)) == fixed(space, "additive", layers_of(space))


def test_references_outside_the_space_are_no_answers() -> None:
    space = tiny_space(nodes=1, inputs="2", operators=("additive", "gated"))
    found = named(space, layers_of(space))
    allowed = [name for name, architecture in found.items() if competes(space, architecture)]
    assert {"early fusion", "late fusion", "fixed gated"} <= set(found) and allowed == ["only a", "only b"]


def test_sources_count_views_once_in_declared_order() -> None:
    space = tiny_space()
    architecture = space.architecture([Node((C1, A1), "mlp")])
    assert sources(space, architecture) == ("a", "b")


def test_an_additive_network_has_no_interaction_and_a_product_has_its_own() -> None:
    space = tiny_space()
    inputs = random_inputs(64, 1)
    torch.manual_seed(0)
    added = build(space, space.architecture([Node((A1, B2, C1), "additive")]), tiny_signature())
    product = build(space, space.architecture([Node((A1, B2), "multiplicative")]), tiny_signature())
    none = interactions(space, added, inputs, generator=torch.Generator().manual_seed(0))
    some = interactions(space, product, inputs, generator=torch.Generator().manual_seed(0))
    assert list(none) == list(some) == ["a x b"]
    assert none["a x b"] < 1e-10 and some["a x b"] > 0.05


def test_paired_differences_know_better_worse_and_equal() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 2, (400,), generator=generator)
    noise = torch.randn(2, 400, 1, generator=generator)
    good, bad = noise + 3 * (target[:, None] - 0.5), noise
    result = paired(good, {"bad": bad, "same": good}, target, "roc_auc", generator=np.random.default_rng(0))
    assert result["bad"]["interval"][0] > 0.2 and result["same"] == {"difference": 0.0, "interval": [0.0, 0.0]}
    again = paired(good, {"bad": bad, "same": good}, target, "roc_auc", generator=np.random.default_rng(0))
    assert again == result
    lower = paired(good, {"bad": bad}, target, "log_loss", generator=np.random.default_rng(0))
    assert lower["bad"]["difference"] > 0  # positive is better, also where lower is better


def test_summary_gives_mean_and_spread_over_seeds() -> None:
    target = torch.tensor([0, 1, 0, 1])
    right, wrong = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]), torch.tensor([[1.0], [1.0], [1.0], [1.0]])
    table = summary(torch.stack([right, wrong]), target)
    assert table["accuracy"] == {"mean": 0.75, "std": pytest.approx(0.35355, abs=1e-4), "values": [1.0, 0.5]}
    assert summary(right[None], target)["accuracy"]["std"] is None


def test_verdicts() -> None:
    def entry(difference: float, low: float, high: float) -> dict:
        return {"difference": difference, "interval": [low, high]}

    both = {"only a": entry(0.1, 0.05, 0.2), "late": entry(-0.1, -0.2, -0.05)}
    text = verdict("roc_auc", both, ("a", "b"), {"a x b": 0.4})
    assert "reads a and b. On test it is better than the best single modality (a): +0.1000 roc_auc" in text
    assert "clearly better than 1 and clearly worse than 1 (late)" in text
    assert "strongest interaction it uses is a with b (40% of its output's variance)" in text
    assert "It hardly uses interactions" in verdict("roc_auc", both, ("a", "b"), {"a x b": 0.004})
    alone = verdict("roc_auc", {"only b": entry(0.1, 0.05, 0.2)}, ("a",), {}, known_as="only a")
    assert "Fusion did not help" in alone and "is the same as only a: nothing richer was better" in alone
    assert "usion" not in verdict("roc_auc", {}, ("a",), {}, several=False)
    unsure = verdict("roc_auc", {"only a": entry(0.01, -0.05, 0.2)}, ("a", "b"), {})
    assert "not distinguishable from the best single modality" in unsure


def test_kendall_tau() -> None:
    assert kendall_tau([1, 2, 3, 4], [10, 20, 30, 40]) == 1.0
    assert kendall_tau([1, 2, 3], [3, 2, 1]) == -1.0
    assert kendall_tau([1, 2], [1, 2]) is None and kendall_tau([1, 1, 1], [1, 2, 3]) is None


@pytest.mark.parametrize("name", list(methods))
def test_methods_say_what_they_are(name: str) -> None:
    facts = methods[name].facts
    assert facts.summary and facts.source and facts.departs


def test_intervals_do_not_depend_on_how_many_resamples_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 2, (100,), generator=generator)
    ours, theirs = torch.randn(2, 100, 1, generator=generator), torch.randn(2, 100, 1, generator=generator)
    whole = paired(ours, {"theirs": theirs}, target, "average_precision", generator=np.random.default_rng(0))
    monkeypatch.setattr(sys.modules[paired.__module__], "_AT_ONCE", 700)
    assert paired(ours, {"theirs": theirs}, target, "average_precision", generator=np.random.default_rng(0)) == whole
    assert paired(ours, {}, target, "average_precision", generator=np.random.default_rng(0)) == {}
