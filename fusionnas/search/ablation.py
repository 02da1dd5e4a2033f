"""Ablation: what a trained network makes of each of its inputs, and the architectures without those that it ignores.

An input is exchanged between held-out samples, so the network and its weights stay as they are: that shows a useless
input with far less noise than two trainings would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.operators import operators
from fusionnas.search.choice import within_doubt
from fusionnas.search.method import Task
from fusionnas.search.references import Layers, competes
from fusionnas.search.retrain import Retrained, held_out_losses, held_out_part
from fusionnas.supernet.mixing import reachable
from fusionnas.training.randomness import derive
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


@dataclass(frozen=True)
class Input:
    """What one input is worth to a network.

    Attributes:
        point: the fusion point.
        change: mean increase of the held-out loss without it.
        error: its standard error.
        ignored: whether there is no increase beyond doubt.
    """

    point: Point
    change: float
    error: float
    ignored: bool

    def facts(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {"modality": self.point.modality, "level": self.point.level, "loss_increase": self.change,
                "standard_error": self.error, "ignored": self.ignored}  # fmt: skip


@torch.no_grad()
def ablate(task: Task, trained: Sequence[Retrained]) -> list[Input]:
    """Each input exchanged across held-out samples, over all folds; nothing to ablate where there is just one."""
    points = list(trained[0].architecture.points())
    if len(points) == 1:
        return []
    rows = []
    for point in points:
        change = torch.cat([_losses_without(task, t, point) for t in trained]) - held_out_losses(task, trained)
        error = float(change.std()) / len(change) ** 0.5
        rows.append(Input(point, float(change.mean()), error, within_doubt(change)))
    return rows


def _losses_without(task: Task, trained: Retrained, point: Point) -> Tensor:
    part = held_out_part(task, trained)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(derive(task.seed, "ablate")))
    network = trained.network(task.problem)
    features = network.encode(part.inputs)
    logits = network.head({p: f.rows(order) if p == point else f for p, f in features.items()})
    for name, path in network.wide.items():
        logits = logits + path(part.inputs[name].rows(order) if name == point.modality else part.inputs[name])
    return nll(logits, part.target)


def without_ignored(
    space: SearchSpace, architecture: Architecture, inputs: Sequence[Input], layers: Layers
) -> list[Architecture]:
    """The architectures to try, simplest first: ignored inputs dropped; then, where a node needs its slot, replaced.

    A node that loses its second input falls away, and with it what only its operator could do. If the network is worse
    for that, an input that it reads elsewhere anyway takes the ignored one's place. What the space does not allow
    (fewer inputs than ``fusion.inputs``) comes last.
    """
    ignored = [i.point for i in inputs if i.ignored]
    used = [i.point for i in sorted(inputs, key=lambda i: -i.change) if not i.ignored]
    found = [without(space, architecture, ignored, layers), instead(space, architecture, ignored, used, layers)]
    distinct = dict.fromkeys(a for a in found if a is not None and a != architecture)
    return sorted(distinct, key=lambda a: not competes(space, a))


def without(
    space: SearchSpace, architecture: Architecture, points: Sequence[Point], layers: Layers
) -> Architecture | None:
    """The architecture without some fusion points; nodes left with one input fall away.

    None if there are no such points, nothing is left, or a node has fewer inputs left than its operator needs.
    """
    if not points:
        return None
    return _rebuilt(space, architecture, lambda node: [s for s in node.inputs if s not in points], layers)


def instead(
    space: SearchSpace, architecture: Architecture, points: Sequence[Point], others: Sequence[Point], layers: Layers
) -> Architecture | None:
    """The architecture without some fusion points; nodes that it takes too many from get others, and stay.

    A node left with fewer inputs than it needs, in this space, takes the first of ``others`` that it lacks.
    """

    def inputs(node: Node) -> list[Point | NodeRef]:
        kept: list[Point | NodeRef] = [s for s in node.inputs if s not in points]
        rule = space.rules.get(node.operator)
        fewest = rule.fewest if rule else max(2, operators[node.operator].inputs_range[0])
        missing = min(fewest, len(node.inputs)) - len(kept)
        return [*kept, *[p for p in others if p not in kept][: max(missing, 0)]]

    return _rebuilt(space, architecture, inputs, layers)


def _rebuilt(
    space: SearchSpace,
    architecture: Architecture,
    inputs_of: Callable[[Node], Sequence[Point | NodeRef]],
    layers: Layers,
) -> Architecture | None:
    """With other inputs per node, which still name the nodes of before."""
    kept: list[Node] = []
    moved: dict[int, Point | NodeRef] = {}
    for index, node in enumerate(architecture.nodes):
        inputs = [s if isinstance(s, Point) else moved.get(s.node) for s in inputs_of(node)]
        left = list(dict.fromkeys(s for s in inputs if s is not None))
        if 2 <= len(left) < operators[node.operator].inputs_range[0]:
            return None
        if len(left) >= 2:
            moved[index] = NodeRef(len(kept))
            kept.append(Node(tuple(left), node.operator))
        elif left:
            moved[index] = left[0]
    output = moved.get(len(architecture.nodes) - 1)
    return None if output is None else space.architecture(*reachable(kept, output), layers=layers)
