"""Two-stage training of gates: cost moves them, useful branches stay open, a kill costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionnas.architecture import Architecture, Gates, Node, NodeRef, Point
from fusionnas.cost import measure_costs
from fusionnas.data.base import Part
from fusionnas.feature import Feature
from fusionnas.gates.gate import coin, expected, hard, relaxed
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.paths import choices, paths
from fusionnas.gates.spending import Spending, shares
from fusionnas.network import build
from fusionnas.run.unit import Checkpoint
from fusionnas.space.schema import Training
from fusionnas.training.gated import GatedTraining, distance, one_more_path, train_gated
from fusionnas.training.method import Step
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule
from tests.spaces import random_inputs, tiny_data, tiny_signature, tiny_space

SPACE = tiny_space()
NODES = [Node((Point("a", 0), Point("c", 1)), "mlp"), Node((Point("b", 2), NodeRef(0)), "gated")]
STAGED = Gates(stages=(("a",), ("b", "c")))
EXITS = Gates(nodes=((0, Point("a", 0)), (1, NodeRef(0))))


def gated(gates: Gates) -> Architecture:
    plain = SPACE.architecture(NODES)
    return Architecture(plain.layers, plain.nodes, plain.output, gates=gates)


def half_hard(size: int, seed: int) -> Part:
    """``a`` says whether it knows the label (second channel) and then tells it (first); else only ``b`` does."""
    inputs = random_inputs(size, seed)
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 2, (size,), generator=generator)
    knows = torch.rand(size, generator=generator) < 0.5
    a = torch.randn(size, 1, 6, generator=generator)
    a[:, 0, 0] = torch.where(knows, 2.0 * label - 1, a[:, 0, 0])
    a[:, 0, 1] = 2.0 * knows - 1
    b = 0.3 * torch.randn(size, 5, 4, generator=generator) + (2.0 * label - 1)[:, None, None]
    there = torch.ones(size, dtype=torch.bool)
    inputs |= {"a": Feature(a, there[:, None], there), "b": Feature(b, there[:, None].expand(size, 5), there)}
    names = np.array([f"{seed}-{i}" for i in range(size)])
    return Part(inputs, label, names, names)


def spending_of(architecture: Architecture) -> Spending:
    """Level 1 of ``b`` costs most, node 1 a tenth of that, and nothing else anything."""
    costs = measure_costs(SPACE, tiny_signature(), batch=4, seconds=0.0)
    prices = dict.fromkeys(costs.sources_ms(architecture), 0.0) | {Point("b", 1): 1.0, NodeRef(1): 0.1}
    return Spending(architecture, {s: p / 1.1 for s, p in prices.items() if s is not None}, 0.0, 0.0)


def trained(
    gates: Gates, weight: float, checkpoint: Checkpoint | None = None, **settings: Any
) -> tuple[GatedNetwork, Spending]:
    architecture = gated(gates)
    spending = spending_of(architecture)
    gating = SPACE.file.fusion.gates.model_copy(update={"cost_weight": weight, "epochs": 12, "rate": 0.02, **settings})
    recipe = Recipe(Training(epochs=8, learning_rate=1e-2, batch_size=32, dropout=0.0))
    plan = GatedTraining(half_hard(256, 1), half_hard(128, 2), Schedule(None, 8, 8), gating, spending, recipe)
    with seeded(0):
        network = build(SPACE, architecture, tiny_signature())
    assert isinstance(network, GatedNetwork)
    train_gated(network, plan, seed=0, checkpoint=checkpoint)
    return network, spending


@pytest.mark.slow
@pytest.mark.parametrize(("gates", "name"), [(STAGED, "stage_1"), (EXITS, "node_1")], ids=["stages", "nodes"])
def test_raising_the_weight_closes_gates_and_those_that_pay_stay_open(gates: Gates, name: str):
    test = half_hard(200, 3)
    runs, correct = [], []
    for weight in (0.0, 0.4, 5.0):
        network, spending = trained(gates, weight)
        runs.append(shares(network, test.inputs, spending)["runs"][name])
        with torch.no_grad():
            correct.append(float(((network(test.inputs)[:, 0] > 0) == (test.target > 0)).float().mean()))
    assert runs[0] > runs[1] + 0.1 > runs[2] + 0.2
    assert runs[2] < 0.05  # so dear that nothing pays
    assert 0.3 < runs[1] < 0.8 and correct[1] > 0.9  # what a does not know is looked up
    assert correct[2] < 0.85


@pytest.mark.parametrize("relaxation", ["exact", "gumbel", "straight_through"])
def test_every_relaxation_learns(relaxation: str):
    network, _ = trained(STAGED, 0.4, relaxation=relaxation)
    test = half_hard(200, 3)
    knows = test.inputs["a"].values[:, 0, 1] > 0
    with torch.no_grad():
        decisions = network.decided(network.encode(test.inputs), test.inputs, hard).decisions
    asked = decisions["stage_1"] > 0
    assert float(asked[~knows].float().mean()) - float(asked[knows].float().mean()) > 0.3


class Killed(Exception):
    """Stands for a kill."""


class Dying(Checkpoint):
    """Saves after every epoch and dies at one."""

    def __init__(self, folder: Path, die_at: int) -> None:
        super().__init__(folder, 0.0)
        self.left = die_at

    def save(self, state: Any) -> None:
        super().save(state)
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [3, 8, 12])
def test_killed_at_any_epoch_of_either_stage_it_ends_with_the_same_bits(tmp_path: Path, epoch: int):
    whole, _ = trained(STAGED, 0.2)
    with pytest.raises(Killed):
        trained(STAGED, 0.2, Dying(tmp_path, epoch))
    again, _ = trained(STAGED, 0.2, Checkpoint(tmp_path, 1e9))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in whole.state_dict().items())


def test_weights_of_all_paths_sum_to_one_and_one_path_is_taken():
    torch.manual_seed(0)
    network = build(SPACE, gated(Gates(STAGED.stages, EXITS.nodes)), tiny_signature()).eval()
    assert isinstance(network, GatedNetwork)
    for parameter in network.gates.parameters():
        torch.nn.init.normal_(parameter)
    data = tiny_data().train
    with torch.no_grad():
        features = network.encode(data.inputs)
        found = list(paths(network, features, data.inputs, hard))
        chosen = torch.stack([path.weight for path in found])
        logits = torch.stack([path.logits for path in found])
        dense = network.dense(data.inputs)
    assert len(found) == len(list(choices(network))) == 8
    assert torch.equal(chosen.sum(0), torch.ones(len(data)))
    torch.testing.assert_close((chosen.unsqueeze(-1) * logits).sum(0), dense)
    drawn = torch.stack([p.weight for p in paths(network, features, data.inputs, relaxed(0.7, noise=True))]).detach()
    torch.testing.assert_close(drawn.sum(0), torch.ones(len(data)))
    likely = torch.stack([p.weight for p in paths(network, features, data.inputs, expected(1.0))]).detach()
    torch.testing.assert_close(likely.sum(0), torch.ones(len(data)))


def test_a_path_learns_from_the_label_and_from_the_full_path_which_learns_nothing_from_it():
    torch.manual_seed(0)
    network = build(SPACE, gated(EXITS), tiny_signature()).eval()
    assert isinstance(network, GatedNetwork)
    data = half_hard(32, 1)
    features = {point: f._replace(values=f.values.detach()) for point, f in network.encode(data.inputs).items()}
    teacher = torch.randn(32, 1, requires_grad=True)
    step = Step(data.inputs, features, teacher, data.target, network.decode)
    one_more_path(network, coin, 1.0)(step).backward()
    assert teacher.grad is None
    taught = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    assert {"passes.node_1.weight", "gates.node_0.guess.weight", "gates.node_1.guess.weight"} <= set(taught)
    assert not any(name.endswith((".doubt", ".logit.weight")) for name in taught)


def test_the_distance_is_least_at_the_teacher():
    for outputs in (1, 3):
        torch.manual_seed(outputs)
        teacher = torch.randn(16, outputs)
        least = distance(teacher, teacher)
        assert all(distance(teacher + torch.randn(16, outputs), teacher) > least for _ in range(5))
