"""Mixing: the weights with which a supernet mixes its choices, and the alphas that they come from.

The supernet knows no relaxation: a method turns its alphas into a Mixing (softmax, uniform, one-hot) and
hands it to ``Supernet.forward``. A one-hot Mixing is a discrete architecture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from fusionnas.architecture import Architecture, Node, NodeRef, Source

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

Relaxation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mixing:
    """Weights of every choice of a supernet.

    Attributes:
        slots: alpha per node, (slots, candidates): fusion points, earlier nodes, and "nothing" last.
        operators: gamma per node, (operators,).
        layers: beta per modality, (levels, encoders).
        output: (points + nodes,): what the readout reads.
    """

    slots: tuple[Tensor, ...]
    operators: tuple[Tensor, ...]
    layers: dict[str, Tensor]
    output: Tensor

    def groups(self) -> dict[str, Tensor]:
        """All weights, a row per choice: ``alpha.0`` (slots of node 0), ``gamma.0``, ``beta.vitals``, ``output``."""
        found = {f"alpha.{i}": rows for i, rows in enumerate(self.slots)}
        found |= {f"gamma.{i}": row[None] for i, row in enumerate(self.operators)}
        found |= {f"beta.{name}": rows for name, rows in self.layers.items()}
        return {**found, "output": self.output[None]}

    @classmethod
    def of(cls, groups: Mapping[str, Tensor]) -> Mixing:
        """The mixing with these ``groups``."""
        return cls(
            slots=tuple(rows for name, rows in groups.items() if name.startswith("alpha.")),
            operators=tuple(rows[0] for name, rows in groups.items() if name.startswith("gamma.")),
            layers={n.removeprefix("beta."): rows for n, rows in groups.items() if n.startswith("beta.")},
            output=groups["output"][0],
        )

    def to(self, device: torch.device) -> Mixing:
        """The same on a device; itself where it is there."""
        if self.output.device == device:
            return self
        return Mixing.of({name: rows.to(device) for name, rows in self.groups().items()})

    def rounded(self) -> dict[str, list[list[float]]]:
        """``groups`` as plain data of six decimals, to look at."""
        return {name: [[round(w, 6) for w in row] for row in rows.tolist()] for name, rows in self.groups().items()}


class Alphas(nn.Module):
    """Architecture parameters in named groups: ``alpha`` slots, ``gamma`` operators, ``beta`` layers, ``output``.

    They stay on the CPU wherever the supernet is: a few hundred numbers, which methods look at all the time.

    They start at zero (a uniform mixture). A closed choice counts as minus infinity: one that a method has given up
    (:meth:`close`), and "nothing" for a slot that may not stay empty.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        fusion, points = space.file.fusion, len(space.points())
        fewest, most = fusion.inputs
        self.alpha = nn.ParameterList(torch.zeros(most, points + i) for i in range(fusion.nodes))
        self.alpha_none = nn.ParameterList(torch.zeros(most, 1) for _ in range(fusion.nodes))
        self.gamma = nn.ParameterList(torch.zeros(len(fusion.operators)) for _ in range(fusion.nodes))
        self.beta = nn.ParameterDict(
            {name: torch.zeros(m.levels, len(m.encoder)) for name, m in space.file.modalities.items()}
        )
        self.output = nn.Parameter(torch.zeros(points + fusion.nodes))
        self.closures = nn.Module()
        for name, rows in self._open_groups().items():
            self.closures.register_buffer(name.replace(".", "_"), torch.zeros_like(rows))
        for index in range(fusion.nodes):
            self.closed(f"alpha.{index}")[:fewest, -1] = -torch.inf

    def _open_groups(self) -> dict[str, Tensor]:
        slots = tuple(torch.cat(pair, dim=-1) for pair in zip(self.alpha, self.alpha_none, strict=True))
        # One encoder is no choice: without a gradient of it, none has to go back through the encoders.
        layers = {name: rows if rows.shape[-1] > 1 else rows.detach() for name, rows in self.beta.items()}
        return Mixing(slots, tuple(self.gamma), layers, self.output).groups()

    def groups(self) -> dict[str, Tensor]:
        """The parameters as in :meth:`Mixing.groups`, closed choices minus infinity."""
        return {name: rows + self.closed(name) for name, rows in self._open_groups().items()}

    def closed(self, group: str) -> Tensor:
        """0 where a choice of the group is open, minus infinity where it is closed."""
        return self.closures.get_buffer(group.replace(".", "_"))

    def close(self, group: str, row: int, choices: Sequence[int]) -> None:
        """Give up choices of a row for good."""
        self.closed(group)[row, list(choices)] = -torch.inf

    def decide(self, group: str, row: int, choice: int) -> None:
        """Give up all other choices of a row; where it is a slot, the node's other slots give up this input."""
        table = self.closed(group)
        self.close(group, row, [c for c in range(table.shape[1]) if c != choice])
        if group.startswith("alpha.") and choice < table.shape[1] - 1:
            table[torch.arange(len(table)) != row, choice] = -torch.inf

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Take values whose softmax gives these weights, by group."""
        for name, rows in weights.items():
            logits = torch.tensor(rows).clamp_min(1e-6).log()
            kind, _, key = name.partition(".")
            if kind == "alpha":
                self.alpha[int(key)].copy_(logits[:, :-1])
                self.alpha_none[int(key)].copy_(logits[:, -1:])
            elif kind == "beta":
                self.beta[key].copy_(logits.reshape(self.beta[key].shape))
            else:
                (self.gamma[int(key)] if kind == "gamma" else self.output).copy_(logits[0])

    def mixing(self, relax: Relaxation, relax_layers: Relaxation | None = None) -> Mixing:
        """The mixture that ``relax`` makes of these alphas; over the last dimension of each group."""
        layers = relax_layers or relax
        groups = self.groups().items()
        return Mixing.of({name: (layers if name.startswith("beta.") else relax)(rows) for name, rows in groups})

    def entropy(self) -> float:
        """Mean entropy of the softmax of all groups, as a share of the largest possible; 1 = undecided."""
        shares = []
        with torch.no_grad():
            for name, weights in self.mixing(softmax).groups().items():
                choices = (self.closed(name) == 0).sum(-1)
                rows = -(weights * weights.clamp_min(1e-12).log()).sum(-1)
                shares += [float(h) / math.log(int(n)) for h, n in zip(rows, choices, strict=True) if int(n) > 1]
        return sum(shares) / len(shares) if shares else 0.0


def choices(space: SearchSpace) -> dict[str, list[str]]:
    """What the columns of :meth:`Mixing.groups` stand for, by group."""
    fusion, points = space.file.fusion, [str(point) for point in space.points()]
    nodes = [f"#{index}" for index in range(fusion.nodes)]
    found = {f"alpha.{i}": [*points, *nodes[:i], "nothing"] for i in range(fusion.nodes)}
    found |= {f"gamma.{i}": list(fusion.operators) for i in range(fusion.nodes)}
    found |= {f"beta.{name}": list(modality.encoder) for name, modality in space.file.modalities.items()}
    return {**found, "output": [*points, *nodes]}


def softmax(alpha: Tensor) -> Tensor:
    """Weights that sum to one: the relaxation of DARTS (Liu et al., 2019, arXiv:1806.09055, equation 2)."""
    return alpha.softmax(-1)


def even(alpha: Tensor) -> Tensor:
    """The dense mixture: every choice with weight ``1 / sqrt(number of choices)``, whatever the alphas.

    Not 1 / n: independent features of unit variance then mix to unit variance, so products of mixtures do
    not vanish; with one choice the weight is one, as in a discrete architecture.
    """
    open_ = (alpha > -torch.inf).to(alpha.dtype)
    return open_ / open_.sum(-1, keepdim=True).clamp_min(1).sqrt()


def level(alpha: Tensor) -> Tensor:
    """Softmax scaled to unit sum of squares: keeps the variance of a mixture of independent features."""
    weights = alpha.softmax(-1)
    return weights / weights.square().sum(-1, keepdim=True).sqrt()


def one_hot(space: SearchSpace, architecture: Architecture, *, dtype: torch.dtype = torch.float32) -> Mixing:
    """The Mixing at which the supernet is exactly ``architecture``.

    Nodes and layers that the architecture lacks get all-zero weights: they are not computed.
    """
    fusion, points = space.file.fusion, space.points()
    place: dict[Source, int] = {point: index for index, point in enumerate(points)}
    place |= {NodeRef(i): len(points) + i for i in range(fusion.nodes)}
    slots = [torch.zeros(fusion.inputs[1], len(points) + i + 1, dtype=dtype) for i in range(fusion.nodes)]
    gammas = [torch.zeros(len(fusion.operators), dtype=dtype) for _ in range(fusion.nodes)]
    for node, slot, gamma in zip(architecture.nodes, slots, gammas, strict=False):
        for row in range(len(slot)):
            slot[row, place[node.inputs[row]] if row < len(node.inputs) else -1] = 1
        gamma[fusion.operators.index(node.operator)] = 1
    layers = {name: torch.zeros(m.levels, len(m.encoder), dtype=dtype) for name, m in space.file.modalities.items()}
    for name, chosen in architecture.layers:
        for index, encoder in enumerate(chosen):
            layers[name][index, space.file.modalities[name].encoder.index(encoder)] = 1
    output = torch.zeros(len(points) + fusion.nodes, dtype=dtype)
    output[place[architecture.output]] = 1
    return Mixing(tuple(slots), tuple(gammas), layers, output)


def discretize(space: SearchSpace, mixing: Mixing) -> Architecture:
    """The architecture with the largest product of weights, slots of a node taking distinct inputs.

    The best assignment of distinct sources to slots is exact (Hungarian method); "nothing" may be taken by
    every slot that allows it. Nodes that the output does not reach are dropped.
    """
    fusion, points = space.file.fusion, space.points()
    ends: list[Source] = [*points, *(NodeRef(i) for i in range(fusion.nodes))]
    output = ends[int(mixing.output.argmax())]
    nodes = []
    for index in range(fusion.nodes):
        sources: list[Source] = [*points, *(NodeRef(i) for i in range(index))]
        operator = _operator(space, mixing.operators[index], last=output == NodeRef(index))
        slots, rule = mixing.slots[index][: space.rules[operator].most].clone(), space.rules[operator]
        slots[: rule.fewest, -1] = 0.0  # an operator's first slots may not stay empty
        nodes.append(Node(_distinct(slots, sources), operator))
    layers = {
        name: tuple(modality.encoder[int(row.argmax())] for row in mixing.layers[name])
        for name, modality in space.file.modalities.items()
    }
    return space.architecture(*reachable(nodes, output), layers=layers)


def _operator(space: SearchSpace, weights: Tensor, *, last: bool) -> str:
    """The operator of the largest weight; one that decides only for the node that the output reads."""
    allowed = torch.tensor([last or not rule.decides for rule in space.rules.values()])
    return space.file.fusion.operators[int(weights.masked_fill(~allowed, -torch.inf).argmax())]


def reachable(nodes: list[Node], output: Source) -> tuple[list[Node], Source]:
    """Only the nodes that ``output`` depends on, renumbered in order."""
    needed: set[int] = set()
    pending = [output]
    while pending:
        source = pending.pop()
        if isinstance(source, NodeRef) and source.node not in needed:
            needed.add(source.node)
            pending += nodes[source.node].inputs
    new = {old: NodeRef(index) for index, old in enumerate(sorted(needed))}

    def move(source: Source) -> Source:
        return new[source.node] if isinstance(source, NodeRef) else source

    kept = [Node(tuple(move(s) for s in nodes[i].inputs), nodes[i].operator) for i in sorted(needed)]
    return kept, move(output)


def _distinct(weights: Tensor, sources: list[Source]) -> tuple[Source, ...]:
    score = weights.detach().double().clamp_min(1e-300).log().numpy()
    slots = len(score)
    # One "nothing" column per slot, so that any number of slots may stay empty.
    table = np.concatenate([score[:, :-1], np.repeat(score[:, -1:], slots, axis=1)], axis=1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    chosen = [sources[c] for _, c in sorted(zip(rows, columns, strict=True)) if c < len(sources)]
    return tuple(chosen)

