"""What relaxed methods have in common: orders, guards, and alphas that are told epoch by epoch."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from fusionnas.search.diversity import diversity, overlap
from fusionnas.search.methods.drnas import concentration, divergence, sample
from fusionnas.search.methods.robust_darts import growth
from fusionnas.search.methods.sgas import score
from fusionnas.supernet import Alphas, Mixing
from fusionnas.supernet.mixing import softmax
from tests.search.test_methods import SMALL, data, search, space
from tests.spaces import tiny_space


def test_every_order_of_the_gradient_gives_other_alphas(tmp_path: Path) -> None:
    found = {}
    for order in ("first", "second", "finite_difference"):
        steps = ("training.learning_rate=0.3", "training.dropout=0", "search.epochs=2")
        known = space(SMALL, "search.method=darts", f"search.order={order}", *steps)
        found[order] = search("darts", tmp_path / order, known, data(SMALL)).facts["history"]
    assert all(a != b for a, b in itertools.combinations(found.values(), 2))


def test_alphas_are_told_by_epoch_with_names_of_their_columns(tmp_path: Path) -> None:
    facts = search("darts", tmp_path / "run", space(SMALL, "search.method=darts"), data(SMALL)).facts
    assert len(facts["alphas"]) == len(facts["history"]) == 4
    assert facts["choices"]["alpha.1"] == ["a.0", "a.1", "b.0", "b.1", "#0", "nothing"]
    for rows in (group for epoch in facts["alphas"] for group in epoch.values()):
        assert all(sum(row) == pytest.approx(1.0, abs=1e-4) for row in rows)
    assert facts["alphas"][0]["output"][0][:4] == [0.0] * 4  # the readout mixes nodes alone


def test_diversity_moves_slots_apart(tmp_path: Path) -> None:
    found = []
    for weight in (0, 30):
        known = space(SMALL, "search.method=darts", f"search.diversity={weight}", "search.alpha_rate=0.3")
        alphas = Alphas(known)
        alphas.start_from(search("darts", tmp_path / str(weight), known, data(SMALL)).facts["alphas"][-1])
        found.append(float(diversity(space(SMALL, "search.diversity=1"))(alphas.mixing(softmax)).detach()))
    assert found[1] < found[0]


def test_overlap_is_the_chance_that_two_slots_read_one_modality() -> None:
    slots = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.25, 0.75, 0.0]])
    mixing = Mixing((slots,), (), {}, torch.zeros(1))
    read = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert float(overlap(mixing, read)) == pytest.approx(0.25)


def test_a_dirichlet_draw_has_the_right_mean_and_respects_closed_choices() -> None:
    torch.manual_seed(0)
    alpha = torch.tensor([0.0, 1.0, -1.0, -torch.inf])
    expected = concentration(alpha) / concentration(alpha).sum()
    drawn = torch.stack([sample(alpha) for _ in range(4000)])
    torch.testing.assert_close(drawn.mean(0), expected, atol=0.02, rtol=0)
    assert float(drawn[:, 3].max()) == 0.0
    two = torch.distributions.Dirichlet(concentration(alpha)[:3])
    flat = torch.distributions.Dirichlet(torch.ones(3))
    torch.testing.assert_close(divergence(concentration(alpha)[None])[0], torch.distributions.kl_divergence(two, flat))


def test_growth_compares_the_last_values_with_those_before() -> None:
    assert growth([1.0, 2.0, 3.0], 2) is None
    assert growth([9.0, 1.0, 2.0, 3.0, 5.0], 2) == pytest.approx(3 / 8)


def test_sgas_is_surest_of_what_is_decided_important_and_still() -> None:
    assert score([1.0, 0.0, 0.0], [], False) == 1.0
    assert score([0.5, 0.5], [], False) == pytest.approx(0.0)
    assert score([0.9, 0.0, 0.1], [], True) == pytest.approx(0.9 * score([0.9, 0.0, 0.1], [], False))
    assert score([0.9, 0.1], [[0.4, 0.6]], False) == pytest.approx(0.5 * score([0.9, 0.1], [], False))


def test_weights_give_the_alphas_that_they_came_from() -> None:
    known = tiny_space()
    alphas, again = Alphas(known), Alphas(known)
    with torch.no_grad():
        for parameter in alphas.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
    again.start_from(alphas.mixing(softmax).rounded())
    expected = alphas.mixing(softmax).groups()
    for name, rows in again.mixing(softmax).groups().items():
        torch.testing.assert_close(rows, expected[name], atol=2e-5, rtol=0)
