"""What a training method is: something that is done beside plain descent on the loss, while a network trains.

A method is one class in ``fusionnas/training/methods``; section ``training`` of the space file says which are on. It
may change a batch's inputs, the loss and the gradients. Its own weights (heads beside the network) train along, are
saved in checkpoints, and are never part of the network.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.registry import Registry
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.data.base import Part

Inputs = Mapping[str, Feature]
Features = Mapping[Point, Feature]


@dataclass(frozen=True)
class TrainingFacts:
    """What ``fusionnas list training`` and the docs say about a method.

    Attributes:
        key: where it stands in the space file.
        formula: what it changes, plain text.
        source: author, title, year, arXiv or venue, equation.
        departs: how this implementation departs from the source.
    """

    key: str
    formula: str
    source: str
    departs: str


@dataclass(frozen=True)
class Reads:
    """What a network reads and gives, as far as a training method must know.

    Attributes:
        points: by modality (as people count them), the deepest fusion point read of each of its views.
        width: channels D of every feature.
        outputs: logits C.
    """

    points: Mapping[str, tuple[Point, ...]]
    width: int
    outputs: int

    @classmethod
    def of(cls, points: Iterable[Point], recipe: Recipe, *, width: int, outputs: int) -> Reads:
        """From all fusion points that the network reads."""
        deepest: dict[str, Point] = {}
        for point in points:
            if point.level >= deepest.get(point.modality, point).level:
                deepest[point.modality] = point
        groups = recipe.groups or {name: (name,) for name in deepest}
        read = {source: tuple(deepest[view] for view in views if view in deepest) for source, views in groups.items()}
        return cls({source: found for source, found in read.items() if found}, width, outputs)

    def views(self) -> dict[str, tuple[str, ...]]:
        """Names of the views by modality."""
        return {source: tuple(point.modality for point in points) for source, points in self.points.items()}


@dataclass(frozen=True)
class Trainee:
    """What is trained: a network, or a supernet at one mixture.

    Attributes:
        network: has ``encoders`` by modality; a copy of it may take its place in the calls below.
        encode: network and inputs -> features.
        decode: network, features and inputs -> logits: fusion and readout alone.
    """

    network: nn.Module
    encode: Callable[[Any, Inputs], Features]
    decode: Callable[[Any, Features, Inputs], Tensor]


@dataclass(frozen=True)
class Step:
    """One batch on its way through the network.

    Attributes:
        inputs: by modality, as the network got them.
        features: (B, T, D) by fusion point.
        logits: (B, C).
        target: (B,).
        decode: features and inputs -> logits: fusion and readout alone.
    """

    inputs: Inputs
    features: Features
    logits: Tensor
    target: Tensor
    decode: Callable[[Features, Inputs], Tensor]


class TrainingMethod(nn.Module, abc.ABC):
    """Abstract; does nothing in any hook that a method leaves alone.

    Class attributes:
        facts: what it does and where it is from.
        order: methods act in ascending order.
        changes_inputs: True = features of frozen encoders cannot be computed once and kept.

    Attributes:
        warm: epochs at the start after which the network itself has not been trained yet, so is not scored.
    """

    facts: ClassVar[TrainingFacts]
    order: ClassVar[int] = 0
    changes_inputs: ClassVar[bool] = False
    warm: int = 0

    @classmethod
    @abc.abstractmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """The method for one training; None where it is off, or has nothing to do for such a network."""

    def kept(self, part: Part) -> Part:
        """The samples to train on; the others are the method's to measure with."""
        return part

    def begin(self, epoch: int, trainee: Trainee, part: Part) -> None:
        """Before each epoch, counted from 0; ``part`` is everything, ``kept`` or not."""

    def inputs(self, inputs: Inputs) -> Inputs:
        """Inputs of a batch -> what the network gets instead."""
        return inputs

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The loss so far -> the loss that is descended."""
        return loss

    def gradients(self, step: Step, encoders: Mapping[str, nn.Module]) -> None:
        """Change the gradients in place, before they are clipped."""

    def notes(self) -> dict[str, Any]:
        """What was measured, plain data for the journal."""
        return {}


training_methods: Registry[type[TrainingMethod]] = Registry("training method", "fusionnas.training.methods")


def register_training(name: str) -> Callable[[type[TrainingMethod]], type[TrainingMethod]]:
    """Class decorator: make a training method known as ``name``."""
    return training_methods.register(name)


class Methods(nn.Module):
    """The training methods of one training; their weights are its parameters."""

    def __init__(self, recipe: Recipe, reads: Reads) -> None:
        super().__init__()
        found = [training_methods[name].of(recipe, reads) for name in training_methods]
        self.methods = sorted((m for m in found if m is not None), key=lambda method: method.order)
        self.weights = nn.ModuleList(self.methods)

    @property
    def changes_inputs(self) -> bool:
        """Whether any method changes inputs."""
        return any(method.changes_inputs for method in self.methods)

    @property
    def warm(self) -> int:
        """Epochs after which the network has not been trained yet."""
        return max((method.warm for method in self.methods), default=0)

    def kept(self, part: Part) -> Part:
        """The samples to train on."""
        for method in self.methods:
            part = method.kept(part)
        return part

    def begin(self, epoch: int, trainee: Trainee, part: Part) -> None:
        """Before each epoch, counted from 0."""
        for method in self.methods:
            method.begin(epoch, trainee, part)

    def inputs(self, inputs: Inputs) -> Inputs:
        """What the network gets."""
        for method in self.methods:
            inputs = method.inputs(inputs)
        return inputs

    def loss(self, trainee: Trainee, inputs: Inputs, target: Tensor) -> tuple[Tensor, Step]:
        """One batch, its inputs as ``inputs`` gave them, through the network: the loss to descend, and what came by."""
        features = trainee.encode(trainee.network, inputs)
        decode = partial(trainee.decode, trainee.network)
        step = Step(inputs, features, decode(features, inputs), target, decode)
        loss = nll(step.logits, target).mean()
        for method in self.methods:
            loss = method.loss(step, loss)
        return loss, step

    def gradients(self, step: Step, encoders: Mapping[str, nn.Module]) -> None:
        """Change gradients in place."""
        for method in self.methods:
            method.gradients(step, encoders)

    def notes(self) -> dict[str, Any]:
        """What the methods measured."""
        return {key: value for method in self.methods for key, value in method.notes().items()}
