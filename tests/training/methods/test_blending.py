"""Gradient blending: weights that sum to one, are bounded and follow what is measured; what ships was scored."""

from __future__ import annotations

import pytest
import torch

from fusionnas.errors import FusionNASError
from fusionnas.network import predict
from fusionnas.training.methods.blending import EVEN, GradientBlending, _split, blend
from fusionnas.training.scoring import nll
from tests.training.problem import network, reads, recipe, trained, two


def test_weights_are_gain_over_squared_overfitting() -> None:
    weights = blend(torch.tensor([[0.3, 0.5, 1.0], [0.3, 0.25, 1.0]]))
    assert weights.tolist() == pytest.approx([0.9 * 1 / 5 + 0.05, 0.9 * 4 / 5 + 0.05])


def test_weights_sum_to_one_stay_within_bounds_and_follow_a_change_of_order() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (2, 3, 4, 7):
        measured = torch.randn(50, count, 3, generator=generator)
        measured[::3, 0, 1] = 0.0  # no overfitting at all
        measured[::5, 1, 0] = float("inf")
        for row in measured:
            weights = blend(row)
            assert float(weights.sum()) == pytest.approx(1, abs=1e-6)
            assert float(weights.min()) >= EVEN / count - 1e-6
            assert float(weights.max()) <= 1 - EVEN + EVEN / count + 1e-6
            assert torch.allclose(blend(row.flip(0)), weights.flip(0))


def test_multibench_weights_do_not_collapse() -> None:
    """There negative overfitting became 1e-4, hence the weights (2e-6, .99997, 3e-5); a negative gain counted."""
    weights = blend(torch.tensor([[0.2, 0.5, 1.0], [0.1, -0.3, 1.0], [0.3, 1e-9, 1.0]]))
    assert float(weights.max()) < 0.75 and float(weights.min()) > 0.03
    lost = blend(torch.tensor([[0.2, 0.5, 1.0], [-0.2, 0.5, 1.0], [0.2, 0.5, 1.0]]))
    assert lost.tolist() == pytest.approx([0.45 + EVEN / 3, EVEN / 3, 0.45 + EVEN / 3])
    assert blend(torch.tensor([[-0.1, 0.5, 1.0], [0.0, 0.5, 1.0]])).tolist() == pytest.approx([0.5, 0.5])


def test_multibench_saved_module_is_the_one_that_was_trained_and_scored() -> None:
    """There the optimiser owned one fusion module and a frozen copy of it was scored and saved."""
    fitted = trained("mlp", epochs=4, blending={"kind": "online", "epochs": 2})
    start = network("mlp").state_dict()
    moved = {key for key, value in fitted.state().items() if not torch.equal(value, start[key])}
    assert moved == set(start)  # encoders, fusion node and readout alike
    loss = float(nll(predict(fitted.network, fitted.part.inputs), fitted.part.target).mean())
    assert loss == pytest.approx(fitted.trained.loss, rel=1e-5)


def test_it_is_measured_once_or_every_so_many_epochs() -> None:
    offline = trained(epochs=3, blending={"kind": "offline", "epochs": 2}).trained.notes["blending"]
    assert [row["epoch"] for row in offline] == [0]
    assert set(offline[0]) == {"epoch", "loud", "quiet", "fused"}
    online = trained(epochs=5, blending={"kind": "online", "epochs": 2}).trained.notes["blending"]
    assert [row["epoch"] for row in online] == [0, 2, 4]
    assert online[0] != {**online[1], "epoch": 0}


def test_a_modality_that_only_overfits_weighs_little() -> None:
    """``quiet`` is made pure noise: its own loss cannot fall on held-out samples, that of ``loud`` can."""
    from fusionnas.network import FusionNetwork
    from fusionnas.space.schema import Training
    from fusionnas.training.method import Methods, Reads, Trainee
    from fusionnas.training.randomness import seeded
    from fusionnas.training.recipe import Recipe

    part = two(300, 1)
    part.inputs["quiet"].values.normal_(generator=torch.Generator().manual_seed(9))
    settings = Training(epochs=20, batch_size=50, learning_rate=0.01, blending={"kind": "offline"})
    used = Recipe(settings, {}, {"loud": ("loud",), "quiet": ("quiet",)})
    one = network("additive")
    with seeded(0):
        methods = Methods(used, Reads.of(one.architecture.points(), used, width=8, outputs=1))
        methods.begin(0, Trainee(one, FusionNetwork.encode, FusionNetwork.decode), part)
    measured = methods.notes()["blending"][0]
    assert measured["quiet"] < 0.1 < measured["loud"]


def test_online_blending_never_trains_on_what_it_measures_with() -> None:
    part = two(300, 1)
    train, held_out = _split(part)
    assert not set(train.ids) & set(held_out.ids) and len(train) + len(held_out) == 300
    assert 40 < len(held_out) < 80
    online = GradientBlending.of(recipe(blending={"kind": "online"}), reads())
    offline = GradientBlending.of(recipe(blending={"kind": "offline"}), reads())
    assert online is not None and offline is not None
    assert list(online.kept(part).ids) == list(train.ids) and offline.kept(part) is part
    assert isinstance(online, GradientBlending) and online.epochs == 5
    assert isinstance(offline, GradientBlending) and offline.epochs == 30


def test_groups_are_not_split_and_too_few_are_told() -> None:
    part = two(40, 1)
    one_group = type(part)(part.inputs, part.target, part.ids, part.ids.copy())
    one_group.groups[:] = "same"
    with pytest.raises(FusionNASError, match="gradient blending holds out one group of samples in 5, but all 40"):
        _split(one_group)


def test_it_is_off_for_one_modality() -> None:
    assert GradientBlending.of(recipe(blending={"kind": "online"}), reads("b", "c")) is None
    assert GradientBlending.of(recipe(), reads()) is None
