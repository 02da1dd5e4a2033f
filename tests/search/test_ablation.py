"""What a network makes of its inputs, what is tried without those that it ignores, and what is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusionnas.architecture import Node, NodeRef, Point
from fusionnas.bench.planted import MODALITIES, SPACE, Case, generate
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.ablation import Input, instead, without, without_ignored
from fusionnas.search.choice import one_standard_error
from fusionnas.search.finalists import best_of, choose
from fusionnas.search.method import Found, Problem, Task
from fusionnas.search.retrain import Retrained, held_out_losses
from fusionnas.space import SearchSpace
from tests.spaces import tiny_data, tiny_space

LAYERS = {"a": ("mlp",), "b": ("gru", "gru"), "c": ("summary",)}
A0, B1, B2, C1 = Point("a", 0), Point("b", 1), Point("b", 2), Point("c", 1)
NODES = [Node((A0, B1, C1), "mlp"), Node((B2, NodeRef(0)), "additive")]


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([], None),
        ([A0], "#0 = mlp(b.1, c.1); #1 = additive(b.2, #0)"),
        ([B1, C1], "additive(a.0, b.2)"),
        ([B2], "mlp(a.0, b.1, c.1)"),
        ([A0, B1, C1], "only b.2"),
        ([A0, B1, B2], "only c.1"),
        ([A0, B1, B2, C1], None),
    ],
)
def test_ignored_inputs_fall_away_and_nodes_left_with_one_input_too(points: list[Point], text: str | None) -> None:
    space = tiny_space()
    found = without(space, space.architecture(NODES), points, LAYERS)
    assert (None if found is None else str(found)) == text


@pytest.mark.parametrize(
    ("points", "others", "text"),
    [
        ([B2], [C1, A0], "#0 = mlp(a.0, b.1, c.1); #1 = additive(c.1, #0)"),
        ([A0], [B2, C1], "#0 = mlp(b.1, c.1); #1 = additive(b.2, #0)"),  # two are left, which will do
        ([A0, B1], [C1, B2], "#0 = mlp(b.2, c.1); #1 = additive(b.2, #0)"),  # the node has c.1
        ([A0, B1, C1], [B2], "only b.2"),  # one cannot take two places
        ([A0, B1, B2, C1], [], None),
    ],
)
def test_an_input_that_is_used_takes_the_place_of_an_ignored_one(points, others, text: str | None) -> None:
    space = tiny_space()
    found = instead(space, space.architecture(NODES), points, others, LAYERS)
    assert (None if found is None else str(found)) == text


def test_fewer_inputs_are_tried_first_then_the_one_that_matters_most_in_the_ignored_ones_place() -> None:
    space = tiny_space()
    worth = {A0: 0.2, B1: 0.1, C1: 0.3, B2: 0.001}
    inputs = [Input(point, change, 0.01, point == B2) for point, change in worth.items()]
    found = without_ignored(space, space.architecture(NODES), inputs, LAYERS)
    assert [str(a) for a in found] == ["mlp(a.0, b.1, c.1)", "#0 = mlp(a.0, b.1, c.1); #1 = additive(c.1, #0)"]
    used = [Input(point, 1.0, 0.01, False) for point in worth]
    assert without_ignored(space, space.architecture(NODES), used, LAYERS) == []


def test_what_the_space_allows_is_tried_before_what_it_does_not() -> None:
    space = tiny_space(inputs="[3, 4]")
    tied = space.architecture([Node((A0, B1, C1), "mlp"), Node((A0, B2, NodeRef(0)), "additive")], layers=LAYERS)
    inputs = [Input(point, 0.1 + 0.1 * (point == A0), 0.01, point == C1) for point in (A0, B1, B2, C1)]
    found = without_ignored(space, tied, inputs, LAYERS)
    assert [str(a) for a in found] == [
        "#0 = mlp(a.0, b.1, b.2); #1 = additive(a.0, b.2, #0)",
        "#0 = mlp(a.0, b.1); #1 = additive(a.0, b.2, #0)",
    ]
    assert [space.contains(a) for a in found] == [True, False]


def test_on_all_folds_the_lowest_loss_wins_however_near_a_simpler_network_is(tmp_path: Path) -> None:
    space, data = tiny_space(), tiny_data()
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        task = Task(Problem(space, data, 3), run, QuietProgress(stages=False))
        right = (data.select.target.float()[:, None] - 0.5) * 2
        noise = torch.randn(right.shape, generator=torch.Generator().manual_seed(0))
        alone = space.architecture([], output=A0, layers=LAYERS)
        fused = space.architecture([Node((A0, C1), "mlp")], layers=LAYERS)
        logits = {alone: right + 0.5 * (noise - (noise * right).mean() * right), fused: right}
        trained = [[Retrained(a, {}, 1, 0, values)] for a, values in logits.items()]
        losses = torch.stack([held_out_losses(task, one) for one in trained])
        assert one_standard_error(losses, [1, 2]) == 0 and best_of(task, trained) == 1


@pytest.mark.slow
def test_a_useless_modality_goes_though_its_slot_is_needed(tmp_path: Path) -> None:
    data, _, _ = generate(Case("product", 0.5, noise=0.05), 104)
    names = sorted(MODALITIES[:4])
    modalities = ", ".join(f"{name}: {{kind: vector, encoder: mlp, levels: 1}}" for name in names)
    space = SearchSpace.parse(SPACE.format(modalities=modalities))
    layers = {name: ("mlp",) for name in names}
    sums = Node((Point("b", 0), Point("d", 1)), "additive")
    architecture = space.architecture([sums, Node((Point("a", 0), NodeRef(0)), "gated")], layers=layers)
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        task = Task(Problem(space, data, 104), run, QuietProgress(stages=False))
        winner = choose(task, Found((architecture,), layers, {}))
    assert [(i["modality"], i["ignored"]) for i in winner.inputs] == [("b", False), ("d", False), ("a", True)]
    assert str(winner.architecture) == "#0 = additive(b.0, d.1); #1 = gated(d.1, #0)"
    losses = {row["architecture"]: row["loss"] for row in winner.table}
    assert losses["additive(b.0, d.1)"] > 0.6 > 0.3 > losses[str(winner.architecture)]
