"""RUBi and functional entropy: a modality that tells the label in training only is trusted less."""

from __future__ import annotations

import math

import pytest
import torch

from fusionnas.data.base import Part
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature
from fusionnas.network import FusionNetwork, predict
from fusionnas.space import SearchSpace
from fusionnas.space.schema import Training
from fusionnas.training.method import Methods, Reads, Step, Trainee
from fusionnas.training.methods.functional_entropy import FunctionalEntropy, cross_entropy, entropy, spread
from fusionnas.training.methods.rubi import ReducedUnimodalBias
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import scores
from fusionnas.training.train import Schedule, train
from tests.spaces import TEXT
from tests.training.problem import network, reads, recipe, two

GROUPS = {"loud": ("loud",), "quiet": ("quiet",)}


def biased(size: int, seed: int, agree: float) -> Part:
    """``loud`` agrees with the label of ``quiet`` for a share of the samples: a prejudice."""
    part = two(size, seed)
    flip = torch.rand(size, generator=torch.Generator().manual_seed(seed + 50)) >= agree
    part.inputs["loud"].values[flip] *= -1
    return part


def prejudiced(seed: int, epochs: int, **training: object) -> FusionNetwork:
    """Trained where ``loud`` agrees in 98 of 100 samples."""
    net = network("mlp", seed=seed)
    used = Recipe(Training(batch_size=50, learning_rate=0.003, dropout=0.0, **training), {}, GROUPS)
    train(net, biased(600, 1, 0.98), Schedule(None, epochs, epochs), used, seed=seed)
    return net


def accuracy(net: FusionNetwork) -> float:
    """Where ``loud`` is a coin."""
    judged = biased(1000, 2, 0.5)
    return float(scores(predict(net, judged.inputs), judged.target)["accuracy"])


def test_rubi_trusts_a_prejudice_less() -> None:
    plain = [accuracy(prejudiced(seed, 12)) for seed in range(3)]
    rubi = [accuracy(prejudiced(seed, 12, debias={"kind": "rubi"})) for seed in range(3)]
    assert sum(rubi) / 3 > sum(plain) / 3 + 0.05


def test_functional_entropy_makes_the_ignored_modality_matter() -> None:
    plain = prejudiced(1, 8)
    even = prejudiced(1, 8, debias={"kind": "functional_entropy", "weight": 0.1})
    assert information(even)["quiet"] > 5 * information(plain)["quiet"]
    assert accuracy(even) > accuracy(plain) + 0.1


def information(net: FusionNetwork) -> dict[str, float]:
    """How much a perturbation of each modality changes the prediction."""
    used = Recipe(Training(), {}, GROUPS)
    found_in, part = Reads.of(net.architecture.points(), used, width=8, outputs=1), biased(500, 2, 0.5)
    with torch.no_grad(), seeded(0):
        features = net.encode(part.inputs)
        step = Step(part.inputs, features, net.decode(features, part.inputs), part.target, net.decode)
        found = FunctionalEntropy(found_in, list(found_in.points), 1.0).information(step)
    return dict(zip(found_in.points, found.tolist(), strict=True))


def applied(**training: object) -> tuple[Methods, torch.Tensor, FusionNetwork]:
    net = network("mlp")
    used = Recipe(Training(**training), {}, GROUPS)
    with seeded(0):
        methods = Methods(used, Reads.of(net.architecture.points(), used, width=8, outputs=1))
        part = two(64, 1)
        loss, _ = methods.loss(Trainee(net, FusionNetwork.encode, FusionNetwork.decode), part.inputs, part.target)
    return methods, loss, net


def test_a_rubi_branch_gives_its_encoder_no_gradient() -> None:
    methods, loss, net = applied(debias={"kind": "rubi", "modalities": ["loud"]})
    (method,) = methods.methods
    assert isinstance(method, ReducedUnimodalBias) and len(method.branches) == 1
    own = sum(p.square().sum() for p in method.branches.parameters())
    assert torch.autograd.grad(own, list(method.branches.parameters()))
    with torch.no_grad():
        for head in (net.head.readout,):
            head.weight.zero_()  # logits 0: masked or not, the network learns nothing of the encoders
    part = two(64, 1)
    loss, _ = methods.loss(Trainee(net, FusionNetwork.encode, FusionNetwork.decode), part.inputs, part.target)
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in net.encoders.parameters())
    assert all(p.grad is not None for p in method.branches.parameters())


def test_a_sample_without_the_modality_is_not_masked_by_it() -> None:
    methods, _, net = applied(debias={"kind": "rubi", "modalities": ["loud"], "weight": 1e-9})
    part = two(64, 1)
    inputs = {**part.inputs, "loud": part.inputs["loud"].absent()}
    trainee = Trainee(net, FusionNetwork.encode, FusionNetwork.decode)
    masked, step = methods.loss(trainee, inputs, part.target)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(step.logits[:, 0], part.target.float())
    assert float(masked.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)


def test_rmfe_is_finite_where_the_reference_is_nan() -> None:
    """A zero loss, and a batch of one, gave NaN: 0 log 0, and the deviation of one sample."""
    assert entropy(torch.zeros(4, 3)).tolist() == [0.0, 0.0, 0.0]
    values = torch.tensor([[0.0], [2.0]])
    assert entropy(values).item() == pytest.approx(0.5 * 2 * math.log(2))
    assert spread(Feature.vector(torch.randn(1, 5))).tolist() == [1.0] * 5
    net = network("mlp")
    used = Recipe(Training(debias={"kind": "functional_entropy"}), {}, GROUPS)
    methods = Methods(used, Reads.of(net.architecture.points(), used, width=8, outputs=1))
    part = two(8, 1).rows(torch.tensor([0]))
    trainee = Trainee(net.train(), FusionNetwork.encode, FusionNetwork.decode)
    for scale in (1.0, 0.0, 1e4):  # unsure, indifferent, and certain beyond float32
        with torch.no_grad():
            net.head.readout.weight.mul_(scale)
        net.zero_grad()
        loss, _ = methods.loss(trainee, part.inputs, part.target)
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_information_is_of_the_modality_that_matters() -> None:
    methods, _, net = applied(debias={"kind": "functional_entropy"})
    (method,) = methods.methods
    assert isinstance(method, FunctionalEntropy)
    part = two(64, 1)
    with torch.no_grad():
        features = net.encode(part.inputs)
        deaf = {p: f for p, f in features.items() if p.modality == "loud"}

        def decode(given, inputs):
            (only,) = (f for p, f in given.items() if p in deaf)
            return only.values.sum((1, 2)).unsqueeze(1)

        step = Step(part.inputs, features, decode(features, part.inputs), part.target, decode)
        loud, quiet = method.information(step).tolist()
    assert loud > 0.01 and quiet == pytest.approx(0, abs=1e-6)


def test_cross_entropy_of_one_logit_is_that_of_two() -> None:
    first, other = torch.randn(5, 1), torch.randn(5, 1)
    two_logits = [torch.cat((torch.zeros(5, 1), logits), 1) for logits in (first, other)]
    assert torch.allclose(cross_entropy(first, other), cross_entropy(*two_logits), atol=1e-6)


@pytest.mark.parametrize("kind", ["rubi", "functional_entropy"])
def test_they_are_off_where_there_is_nothing_to_weigh(kind: str) -> None:
    cls = {"rubi": ReducedUnimodalBias, "functional_entropy": FunctionalEntropy}[kind]
    assert cls.of(recipe(debias={"kind": kind}), reads("a")) is None
    assert cls.of(recipe(debias={"kind": kind, "modalities": ["z"]}), reads()) is None
    assert cls.of(recipe(), reads()) is None and cls.of(recipe(debias={"kind": kind}), reads()) is not None


def test_wrong_settings_are_told_together() -> None:
    text = TEXT.format(nodes=1, inputs="2", operators="additive").replace(
        "dropout: 0.1}",
        "dropout: 0.1, debias: {kind: rubi, modalities: [aa]}, warm_start: unimodal, modulation: ogm, blending: 3}",
    )
    with pytest.raises(SpaceError) as told:
        SearchSpace.parse(text)
    problems = [problem.split(" ", 1)[1] for problem in told.value.problems]
    assert "training.debias.modalities[0]: 'aa' is not a modality of this space (did you mean 'a'?)" in problems
    assert "training.warm_start.epochs: given 5, expected fewer than training.epochs, which is 3" in problems
    assert any(p.startswith("training.modulation.kind: given 'ogm', expected one of ogm_ge") for p in problems)
    assert "training.blending: given 3, expected a word or a mapping with kind" in problems
