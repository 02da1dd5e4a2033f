"""Terms of pretraining: contrast, matching, masking, transport; each at its edges."""

from __future__ import annotations

import math

import pytest
import torch

from fusionnas.encoders.encoder import SearchableEncoder
from fusionnas.feature import Feature, InputSpec
from fusionnas.pretraining.base import Batch, Encoders, Kit, objectives
from fusionnas.pretraining.context import Context
from fusionnas.pretraining.contrast import Contrast, MomentumContrast, soft_cross_entropy
from fusionnas.pretraining.masking import HIDDEN_ID, Masking, hide
from fusionnas.pretraining.matching import Matching, negatives
from fusionnas.pretraining.word_patch import WordPatch
from fusionnas.training.randomness import seeded

SPECS = {"table": InputSpec(6), "series": InputSpec(4, tokens=5), "words": InputSpec(0, tokens=7, vocabulary=9)}


def kit_of(*names: str, steps: int = 4, mask: float | None = None) -> Kit:
    specs = {name: SPECS[name] for name in names}
    choices = {"table": ["mlp"], "series": ["gru", "tcn"], "words": ["attention"]}
    encoders = Encoders({name: SearchableEncoder(spec, 8, choices[name], 1) for name, spec in specs.items()})
    return Kit(encoders, specs, {name: (name,) for name in names}, 8, steps, mask)


def inputs_of(size: int, *names: str) -> dict[str, Feature]:
    found = {}
    for name in names:
        spec = SPECS[name]
        mask = torch.rand(size, spec.tokens) > 0.3
        mask[:, 0] = True
        values = (
            torch.randint(2, spec.vocabulary, mask.shape) * mask
            if spec.vocabulary
            else torch.randn(*mask.shape, spec.width) * mask.unsqueeze(-1)
        )
        found[name] = Feature(values, mask, torch.ones(size, dtype=torch.bool))
    return found


def batch_of(kit: Kit, size: int, operator: str = "cross_attention") -> Batch:
    inputs = inputs_of(size, *kit.specs)
    return Batch(inputs, kit.encoders, Context(operator, len(kit.specs), 8), kit.encoders(inputs))


@pytest.mark.parametrize("name", objectives)
@pytest.mark.parametrize("operator", ["cross_attention", "joint_transformer"])
@pytest.mark.parametrize("size", [1, 2, 12])
def test_every_objective_is_finite_and_moves_encoders_for_batches_of_one_and_two(
    name: str, operator: str, size: int
) -> None:
    """ALBEF's reference stops at a batch of one with 'invalid multinomial distribution'."""
    with seeded(0):
        kit = kit_of("table", "series", "words")
        terms, batch = objectives[name](kit), batch_of(kit, size, operator)
        loss = torch.stack([share * term(batch) for share, term in terms]).sum()
        loss.backward()
    assert loss.isfinite()
    grads = [p.grad for p in kit.encoders.parameters() if p.grad is not None]
    assert grads and all(g.isfinite().all() for g in grads)
    assert size == 1 or any(g.any() for g in grads)


@pytest.mark.parametrize("name", objectives)
def test_a_sample_without_anything_and_absent_modalities_are_no_numbers_gone_wrong(name: str) -> None:
    with seeded(0):
        kit = kit_of("table", "series", "words")
        inputs = inputs_of(6, *kit.specs)
        inputs["words"] = inputs["words"].only(torch.tensor([True, False, True, False, False, True]))
        inputs = {n: f.only(torch.arange(6) > 0) for n, f in inputs.items()}
        batch = Batch(inputs, kit.encoders, Context("joint_transformer", 3, 8), kit.encoders(inputs))
        loss = torch.stack([share * term(batch) for share, term in objectives[name](kit)]).sum()
        loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in kit.encoders.parameters())


def test_contrast_is_the_cross_entropy_of_cosines() -> None:
    with seeded(0):
        kit = kit_of("table", "series")
        contrast, batch = Contrast(kit), batch_of(kit, 5)
        logits = contrast.similarity(batch, "table", "series")
        expected = torch.nn.functional.cross_entropy
        want = (expected(logits, torch.arange(5)) + expected(logits.T, torch.arange(5))) / 2
        assert torch.allclose(contrast(batch), want, atol=1e-6)
        assert logits.abs().max() <= 1 / 0.07 + 1e-4


def test_samples_that_lack_one_of_the_pair_sit_out() -> None:
    logits, target = torch.randn(4, 4), torch.eye(4)
    both = torch.tensor([True, False, True, True])
    kept = soft_cross_entropy(logits[both][:, both], torch.eye(3), torch.ones(3) > 0, torch.ones(3) > 0)
    assert torch.allclose(soft_cross_entropy(logits, target, both, both), kept)
    nobody = torch.zeros(4, dtype=torch.bool)
    assert soft_cross_entropy(logits, target, nobody, nobody).item() == 0


def test_the_queue_takes_batches_of_any_size_and_empty_places_count_for_nothing() -> None:
    with seeded(0):
        kit = kit_of("table", "series")
        term = MomentumContrast(kit, queue=8)
        plain = Contrast(kit)
        plain.load_state_dict({k: v for k, v in term.state_dict().items() if k in plain.state_dict()})
        batch = batch_of(kit, 3)
        # At first nothing is queued, the slow copies equal the fast ones, and the soft share is 0.
        assert torch.allclose(term(batch), plain(batch), atol=1e-5)
        assert term.there_table.tolist() == [True] * 3 + [False] * 5 and int(term.next) == 3
        term(batch_of(kit, 7))
        assert term.there_table.all() and int(term.next) == 2
        term(batch_of(kit, 20))  # more than it holds
        assert int(term.next) == 2 and int(term.batches) == 3
        assert not torch.allclose(term(batch), plain(batch), atol=1e-3)


def test_the_slow_copy_follows_by_a_two_hundredth_and_takes_no_gradient() -> None:
    with seeded(0):
        kit = kit_of("table", "series")
        term = MomentumContrast(kit)
        before = next(term.slow.parameters()).clone()
        with torch.no_grad():
            for p in kit.encoders.parameters():
                p.add_(1.0)
        term.after_step(kit.encoders)
        assert torch.allclose(next(term.slow.parameters()) - before, torch.full_like(before, 0.005), atol=1e-6)
        term(batch_of(kit, 4)).backward()
    assert all(p.grad is None for p in term.slow.parameters())


def test_soft_targets_grow_over_the_first_epoch() -> None:
    with seeded(0):
        kit = kit_of("table", "series", steps=2)
        term, batch = MomentumContrast(kit, queue=4), batch_of(kit, 4)
        term.eval()  # nothing is queued
        hard = float(term(batch).detach())
        term.batches += 2
        soft = float(term(batch).detach())
    assert soft != pytest.approx(hard)


def test_hard_negatives_are_likely_confusions_and_never_oneself() -> None:
    scores = torch.tensor([[99.0, 0.0, 6.0], [0.0, 99.0, 0.0], [0.0, 3.0, 99.0]])
    with seeded(0):
        drawn = torch.stack([negatives(scores, torch.ones(3) > 0) for _ in range(400)])
    assert not (drawn == torch.arange(3)).any()
    share = [(drawn[:, 0] == 2).float().mean().item(), (drawn[:, 1] == 2).float().mean().item()]
    assert share == pytest.approx([1 / (1 + math.exp(-6)), 0.5], abs=0.06)


def test_negatives_where_multinomial_stops() -> None:
    one, two = torch.ones(1) > 0, torch.ones(2) > 0
    assert negatives(torch.zeros(1, 1), one).tolist() == [-1]
    for scores in (torch.zeros(2, 2), torch.full((2, 2), float("nan")), torch.tensor([[1e30, -1e30], [-1e30, 1e30]])):
        assert negatives(scores, two).tolist() == [1, 0]
    underflow = torch.tensor([[0.0, -1e4, -1e4], [-1e4, 0.0, -1e4], [-1e4, -1e4, 0.0]], dtype=torch.float16)
    assert not (negatives(underflow, torch.ones(3) > 0) == torch.arange(3)).any()
    assert negatives(torch.zeros(3, 3), torch.tensor([True, False, False])).tolist() == [-1, 0, 0]


def test_matching_learns_who_belongs_together() -> None:
    """Two tables that share a hidden number."""
    with seeded(0):
        specs = {"a": InputSpec(3), "b": InputSpec(3)}
        encoders = Encoders({name: SearchableEncoder(spec, 8, ["mlp"], 1) for name, spec in specs.items()})
        kit = Kit(encoders, specs, {"a": ("a",), "b": ("b",)}, 8, 1)
        term, context = Matching(kit), Context("joint_transformer", 2, 8)
        modules = torch.nn.ModuleList([encoders, term, context])
        optimizer = torch.optim.Adam(modules.parameters(), 0.01)
        losses = []
        for _ in range(40):
            hidden = torch.randn(64, 1)
            inputs = {n: Feature.vector(hidden + 0.1 * torch.randn(64, 3)) for n in specs}
            loss = term(Batch(inputs, encoders, context, encoders(inputs)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < 0.55 < 0.65 < losses[0]


def test_what_is_hidden_never_reaches_its_own_prediction() -> None:
    with seeded(0):
        for name in ("series", "words", "table"):
            given = inputs_of(50, name)[name]
            changed, hidden = hide(given, SPECS[name], 0.4)
            assert 0.2 < float(hidden[given.mask].float().mean()) < 0.6
            assert torch.equal(changed.mask, given.mask) and torch.equal(changed.present, given.present)
            if SPECS[name].vocabulary:
                assert (changed.values[hidden] == HIDDEN_ID).all() and not hidden[~given.mask].any()
            else:
                assert not changed.values[hidden].any()
            assert torch.equal(changed.values[~hidden], given.values[~hidden])
        # All columns of a hidden token are hidden together, those of a vector one by one.
        _, tokens = hide(inputs_of(50, "series")["series"], SPECS["series"], 0.4)
        assert torch.equal(tokens.all(-1), tokens.any(-1))
        _, columns = hide(inputs_of(50, "table")["table"], SPECS["table"], 0.4)
        assert not torch.equal(columns.all(-1), columns.any(-1))


def test_a_share_in_the_space_file_overrides_the_objective() -> None:
    own = Masking(kit_of("series", "words"), numbers=0.5, ids=0.15)
    assert own.shares == {"series": 0.5, "words": 0.15}
    assert Masking(kit_of("series", "words", mask=0.3), numbers=0.5, ids=0.15).shares == {"series": 0.3, "words": 0.3}


def test_word_patch_alignment_is_about_pairs_of_sequences() -> None:
    assert WordPatch(kit_of("table", "series", "words")).pairs == [("series", "words")]
    with seeded(0):
        kit = kit_of("table", "series")
        term = WordPatch(kit)
        assert term.pairs == [] and term(batch_of(kit, 3)).item() == 0


def test_views_of_one_source_are_no_pair() -> None:
    kit = kit_of("table", "series", "words")
    grouped = Kit(kit.encoders, kit.specs, {"table": ("table",), "series": ("series", "words")}, 8, 1)
    assert grouped.pairs() == [("table", "series"), ("table", "words")]
