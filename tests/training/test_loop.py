"""The training loop: it learns, keeps the best epoch, resumes to the same bits, leaves frozen encoders alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, log_loss

from fusionnas.data.base import Part
from fusionnas.errors import FusionNASError
from fusionnas.layers import Dropout
from fusionnas.network import FusionNetwork, build
from fusionnas.run.unit import Checkpoint
from fusionnas.search.references import late
from fusionnas.space.schema import Training
from fusionnas.training.optimizer import Average, cosine, make_optimizer
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import applicable, nll, probabilities, scores
from fusionnas.training.train import Schedule, Trained, train
from tests.spaces import random_part, tiny_signature, tiny_space

TRAINING = Training(epochs=6, patience=6, batch_size=32, learning_rate=0.01, dropout=0.2, averaging=0.9)
DATA, SELECT = random_part(128, 1), random_part(64, 2)


def network() -> FusionNetwork:
    space = tiny_space()
    layers = {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}
    with seeded(0):
        return build(space, late(space, layers), tiny_signature())


def run(
    net: FusionNetwork, *, checkpoint: Checkpoint | None = None, select: Part | None = SELECT, watch=None
) -> Trained:
    return train(net, DATA, Schedule(select, 6, 6), Recipe(TRAINING), seed=5, checkpoint=checkpoint, watch=watch)


def same(a: FusionNetwork, b: FusionNetwork) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_training_learns_and_keeps_the_epoch_with_the_lowest_select_loss() -> None:
    net = network()
    with torch.no_grad():
        before = float(nll(net.eval()(SELECT.inputs), SELECT.target).mean())
    trained = run(net)
    with torch.no_grad():
        kept = float(nll(net(SELECT.inputs), SELECT.target).mean())
    assert trained.loss == min(trained.history) == trained.history[trained.epoch - 1]
    assert kept == pytest.approx(trained.loss, rel=1e-5) and kept < before


class Stop(Exception):
    pass


@pytest.mark.parametrize("select", [SELECT, None])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_training_stopped_after_any_epoch_resumes_to_the_same_bits(
    tmp_path: Path, epoch: int, select: Part | None
) -> None:
    undisturbed, disturbed = network(), network()
    expected = run(undisturbed, select=select)

    def stop(facts) -> None:
        if facts["epoch"] == epoch + 1:
            raise Stop

    with pytest.raises(Stop):
        run(disturbed, checkpoint=Checkpoint(tmp_path / "state", 0), select=select, watch=stop)
    resumed = network()
    assert Checkpoint(tmp_path / "state", 0).load()["epoch"] == epoch
    assert run(resumed, checkpoint=Checkpoint(tmp_path / "state", 0), select=select).history == expected.history
    assert same(resumed, undisturbed)


def test_patience_ends_a_training_that_no_longer_gets_better() -> None:
    settings = TRAINING.model_copy(update={"patience": 1, "learning_rate": 1e-12, "averaging": 0.0})
    trained = train(network(), DATA, Schedule(SELECT, 50, 50), Recipe(settings), seed=0)
    assert len(trained.history) < 50


def test_frozen_encoders_keep_every_bit_and_only_they_take_no_gradient() -> None:
    net, start = network(), network()
    train(net, DATA, Schedule(SELECT, 2, 2), Recipe(TRAINING, {"b": "frozen"}), seed=5)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if name.startswith("encoders.b.")}
    moved = {name for name, p in net.state_dict().items() if not torch.equal(p, start.state_dict()[name])}
    assert not any(name.startswith("encoders.b.") for name in moved)
    assert any(name.startswith("encoders.a.") for name in moved)


def test_finetuned_encoders_have_their_own_rate_and_vectors_no_decay() -> None:
    net = network()
    optimizer = make_optimizer(net, Recipe(TRAINING.model_copy(update={"weight_decay": 0.3}), {"b": "finetune"}))
    rates = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            rates[id(parameter)] = (group["lr"], group["weight_decay"])
    for name, parameter in net.named_parameters():
        slow = name.startswith("encoders.b.")
        assert rates[id(parameter)] == (0.01 * (0.1 if slow else 1), 0.3 if parameter.dim() > 1 else 0.0)


def test_cosine_goes_from_the_base_rate_to_a_twentieth() -> None:
    optimizer = make_optimizer(network(), Recipe(TRAINING))
    cosine(optimizer, 0, 10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    cosine(optimizer, 10, 10)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0005)


def test_average_follows_slowly_and_exactly_at_decay_zero() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    slow, exact = Average(net, 0.9), Average(net, 0.0)
    start = net.weight.item()
    with torch.no_grad():
        net.weight += 1
    slow.update(net)
    exact.update(net)
    assert float(exact.state["weight"]) == pytest.approx(start + 1)
    assert float(slow.state["weight"]) == pytest.approx(start + 0.9)  # the first step weighs 1 - 1 / 10


def test_a_loss_that_is_not_finite_says_what_to_do() -> None:
    part = random_part(32, 1)
    part.inputs["a"].values[0, 0, 0] = float("inf")
    with pytest.raises(FusionNASError, match="the loss is nan after epoch 1; lower training.learning_rate"):
        train(network(), part, Schedule(part, 2, 2), Recipe(TRAINING), seed=0)


def test_scores_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(200, 1, generator=generator), torch.randint(0, 2, (200,), generator=generator)
    positive = probabilities(logits)[:, 1]
    found = scores(logits, target)
    assert found["average_precision"] == pytest.approx(average_precision_score(target, positive))
    assert found["log_loss"] == pytest.approx(log_loss(target, positive))
    assert found["log_loss"] == pytest.approx(float(nll(logits, target).mean()))
    many, label = torch.randn(200, 4, generator=generator), torch.randint(0, 4, (200,), generator=generator)
    assert scores(many, label)["f1_macro"] == pytest.approx(f1_score(label, many.argmax(1), average="macro"))
    assert set(scores(many, label)) == set(applicable(4)) == {"accuracy", "balanced_accuracy", "f1_macro", "log_loss"}
    assert scores(logits, torch.zeros(200, dtype=torch.long))["roc_auc"] is None


def test_derived_seeds_are_the_same_in_every_process_and_differ_by_name() -> None:
    code = "from fusionnas.training.randomness import derive; print(derive(3, 'network', 'abc', 1))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == derive(3, "network", "abc", 1) != derive(3, "network", "abc", 2)


def test_seeded_leaves_the_global_stream_untouched() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeded(9):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected) and not torch.equal(inside, expected)


def test_dropout_drops_a_channel_for_all_tokens_of_a_sample() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5)(torch.ones(4, 7, 100))
    assert torch.equal(dropped, dropped[:, :1].expand(4, 7, 100))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(Dropout(0.5).eval()(torch.ones(2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("policy", ["joint", "finetune", "frozen"])
def test_a_policy_changes_exactly_which_weights_of_its_encoder_take_gradients(policy: str) -> None:
    net = network()
    make_optimizer(net, Recipe(TRAINING, {"a": policy, "b": "frozen"}))
    still = ("encoders.b.", "encoders.a.") if policy == "frozen" else ("encoders.b.",)
    learns = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert learns == {name for name, _ in net.named_parameters() if not name.startswith(still)}
