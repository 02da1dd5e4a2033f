"""OGM-GE: who is ahead is slowed, whatever the operator and however many modalities."""

from __future__ import annotations

import math

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.network import FusionNetwork
from fusionnas.space.schema import Training
from fusionnas.training.method import Methods, Reads, Step, Trainee
from fusionnas.training.methods.ogm_ge import GradientModulation, mean_over_batch
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from tests.training.problem import reads, recipe, trained, two

GROUPS = {"loud": ("loud",), "quiet": ("quiet",)}


def step_of(net: FusionNetwork, method: bool = True) -> tuple[GradientModulation, Step, torch.Tensor]:
    used = Recipe(Training(modulation={"kind": "ogm_ge", "strength": 0.5}), {}, GROUPS)
    methods = Methods(used, Reads.of(net.architecture.points(), used, width=8, outputs=1))
    part = two(200, 1)
    loss, step = methods.loss(Trainee(net, FusionNetwork.encode, FusionNetwork.decode), part.inputs, part.target)
    (found,) = methods.methods
    assert isinstance(found, GradientModulation)
    return found, step, loss


@pytest.mark.parametrize("operator", ["additive", "gated", "film", "cross_attention", "mlp", "tensor"])
def test_reference_crashes_on_gated_and_film_here_every_operator_has_scores(operator: str) -> None:
    method, step, _ = step_of(trained(operator, epochs=3).network.train())
    loud, quiet = method.factors(step).tolist()
    assert loud < 1 and quiet == 1  # loud is ahead


def test_the_factor_is_one_minus_tanh_of_the_ratio() -> None:
    method, step, _ = step_of(trained("additive", epochs=6).network.eval())
    scores = []
    for views in method._views():
        logits = method._alone(step, views)[:, 0]
        right = torch.where(step.target == 1, logits.sigmoid(), 1 - logits.sigmoid())
        scores.append(float(right.detach().sum()))
    assert method.factors(step)[0].item() == pytest.approx(1 - math.tanh(0.5 * scores[0] / scores[1]), rel=1e-4)


def test_gradients_of_the_one_ahead_shrink_and_all_get_noise() -> None:
    net = trained("film", epochs=3).network.train()
    method, step, loss = step_of(net)
    loss.backward()
    before = {name: p.grad.clone() for name, p in net.named_parameters()}
    factor = float(method.factors(step)[0])
    with seeded(1):
        method.gradients(step, dict(net.encoders.items()))
    for name, parameter in net.named_parameters():
        matrix = name.startswith("encoders.") and parameter.dim() > 1
        assert torch.equal(parameter.grad, before[name]) != matrix
        if matrix:
            noise = parameter.grad - before[name] * (factor if "loud" in name else 1.0)
            assert float(noise.std()) == pytest.approx(float(before[name].std()), rel=0.35)


def test_three_modalities_have_mean_pairwise_ratios() -> None:
    scores = torch.tensor([4.0, 2.0, 1.0])
    method = GradientModulation(reads("a", "b", "c"), 0.1, None)
    ratios = scores.unsqueeze(1) / scores
    assert ((ratios.sum(1) - 1) / 2).tolist() == pytest.approx([3.0, 1.25, 0.375])
    assert len(method.points) == 2  # two views are one modality


def test_the_mean_stands_in_for_a_modality() -> None:
    values = torch.tensor([[[1.0], [2.0]], [[3.0], [0.0]], [[0.0], [0.0]]])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    mean = mean_over_batch(Feature(values, mask, mask.any(1)))
    assert mean.values[..., 0].tolist() == [[2.0, 2.0]] * 3 and mean.mask.all() and mean.present.all()
    nothing = mean_over_batch(Feature(values, mask, mask.any(1)).absent())
    assert not nothing.present.any() and not nothing.mask.any()


def test_it_ends_after_the_asked_epochs_and_is_off_for_one_modality() -> None:
    method = GradientModulation.of(recipe(modulation={"kind": "ogm_ge", "epochs": 2}), reads())
    assert isinstance(method, GradientModulation)
    states = []
    for epoch in range(3):
        method.begin(epoch, None, None)
        states.append(method._on)
    assert states == [True, True, False]
    assert GradientModulation.of(recipe(modulation={"kind": "ogm_ge"}), reads("a")) is None
