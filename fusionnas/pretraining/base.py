"""What a pretraining objective is: terms of a loss that needs no label, on encoders and on what puts them in context.

An objective is one decorated function in ``fusionnas/pretraining/objectives`` that returns its terms. Encoders (and,
where the space has it, the operator that read them together) start every later training from what was learned; the
terms' own weights end with the stage.

Shapes: B batch, T tokens, D width; modalities in declared order.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fusionnas.encoders.encoder import SearchableEncoder
from fusionnas.feature import Feature, InputSpec
from fusionnas.pretraining.context import Context
from fusionnas.registry import Registry

Inputs = Mapping[str, Feature]


@dataclass(frozen=True)
class ObjectiveFacts:
    """What ``fusionnas list objectives`` and the docs say about an objective.

    Attributes:
        formula: the loss, plain text.
        source: author, title, year, arXiv or venue.
        departs: how this implementation departs from the source.
    """

    formula: str
    source: str
    departs: str


class Encoders(nn.Module):
    """Encoders with all their choices; every batch takes one choice per layer, drawn evenly.

    So every path of a searched encoder is trained as it will be used: alone.

    Args:
        encoders: by modality, in declared order.
    """

    def __init__(self, encoders: Mapping[str, SearchableEncoder]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.paths: dict[str, Tensor] = {}
        self.draw()

    def draw(self) -> None:
        """Choose the layers of the next batch, from torch's global generator."""
        for name, encoder in self.encoders.items():
            assert isinstance(encoder, SearchableEncoder)
            rows = []
            for layer in encoder.layers:
                assert isinstance(layer, nn.ModuleDict)
                rows.append(nn.functional.one_hot(torch.randint(len(layer), ()), len(layer)).float())
            self.paths[name] = torch.stack(rows) if rows else torch.zeros(0, 1)

    def top(self, name: str, feature: Feature) -> Feature:
        """One modality's input -> its top level (B, T, D)."""
        levels: list[Feature] = self.encoders[name](feature, self.paths[name])
        return levels[-1]

    def forward(self, inputs: Inputs) -> dict[str, Feature]:
        """Inputs by modality -> top levels."""
        return {name: self.top(name, inputs[name]) for name in self.encoders}


@dataclass(frozen=True)
class Kit:
    """What an objective builds its terms from.

    Attributes:
        encoders: what is pretrained.
        specs: form of each modality's input.
        groups: modalities as people count them, each with its views.
        width: channels D.
        steps: batches per epoch.
        mask: share that masked modelling hides; None: as the objective's source has it.
    """

    encoders: Encoders
    specs: Mapping[str, InputSpec]
    groups: Mapping[str, tuple[str, ...]]
    width: int
    steps: int
    mask: float | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """Pairs of modalities that are no views of one another, in declared order."""
        source = {view: name for name, views in self.groups.items() for view in views}
        names = list(self.specs)
        return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if source[a] != source[b]]


@dataclass
class Batch:
    """One batch of inputs and what the encoders make of it.

    Attributes:
        inputs: by modality.
        encoders: to encode changed inputs with.
        context: reads modalities together.
        tops: top levels by modality.
    """

    inputs: Inputs
    encoders: Encoders
    context: Context
    tops: dict[str, Feature]


class Term(nn.Module, abc.ABC):
    """Abstract; one term of a loss, with its own weights."""

    @abc.abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The term's loss, a scalar."""

    def after_step(self, encoders: Encoders) -> None:
        """What follows the optimizer's step."""


class Objective(Protocol):
    """A registered objective."""

    facts: ObjectiveFacts

    def __call__(self, kit: Kit) -> Sequence[tuple[float, Term]]:
        """Terms and their weights."""


objectives: Registry[Objective] = Registry("pretraining objective", "fusionnas.pretraining.objectives")


def register_objective(name: str, facts: ObjectiveFacts) -> Callable[[Callable[[Kit], Any]], Objective]:
    """Decorator: make a function known as ``name`` for ``pretrain.objective``."""

    def add(function: Callable[[Kit], Any]) -> Objective:
        objective: Any = function
        objective.facts = facts
        return objectives.register(name)(objective)

    return add
