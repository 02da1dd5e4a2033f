"""What a data set is, from raw records to the parts that a search receives.

    source (registered) -> Cohort of Records -> split -> Preprocessing (fitted on train) -> Dataset

A ``Dataset`` has ``search`` (train, alpha, select: all that a search method ever sees) and ``test``, which
is sealed: opening it is an act that the run records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fusionnas.feature import Feature, Signature
from fusionnas.registry import Registry

if TYPE_CHECKING:
    from fusionnas.data.preprocessing import Preprocessing
    from fusionnas.data.records import Records
    from fusionnas.space import SearchSpace


@dataclass(frozen=True)
class Cohort:
    """What a source loads.

    Attributes:
        development: records to train, search and select on.
        test: records of the official test part, or None: then split off from development.
        parts: indices into ``development`` of parts that the source fixes ("train", "alpha", "select").
        description: source, licence, counts and content hash, as written to ``results.json``.
        facts: what is known about the data, such as the Bayes-optimal score of generated sets.
    """

    development: Records
    test: Records | None
    parts: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]
    description: Mapping[str, Any]
    facts: Mapping[str, Any]


class Source(Protocol):
    """A registered data set: a callable that loads a Cohort for a space.

    ``path`` is the user's ``--data-path`` or None. ``seed`` feeds generated sets only.
    """

    def __call__(self, space: SearchSpace, *, path: Path | None) -> Cohort:
        """Load the data set."""
        ...


datasets: Registry[Source] = Registry("data set", "fusionnas.data.sources")


def register_dataset(name: str) -> Callable[[Source], Source]:
    """Decorator: make a source known as ``name`` in space files and for ``--data``."""
    return datasets.register(name)


@dataclass(frozen=True)
class Part:
    """Preprocessed samples.

    Attributes:
        inputs: per modality of the space, (N, T, R) floats or (N, T) ids, with mask and presence.
        target: (N,) int64 class labels.
        ids: (N,) names of the samples.
        groups: (N,) what must stay together wherever the part is split again; the ids, where samples are independent.
    """

    inputs: dict[str, Feature]
    target: Tensor
    ids: np.ndarray[Any, np.dtype[np.str_]]
    groups: np.ndarray[Any, np.dtype[np.str_]]

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Part:
        """The same with inputs and target on a device; nothing is copied that is there."""
        return replace(
            self, inputs={name: feature.to(device) for name, feature in self.inputs.items()},
            target=self.target.to(device),
        )  # fmt: skip

    def rows(self, index: Tensor) -> Part:
        """The samples ``index``, which is on the CPU, wherever the part is."""
        there = index.to(self.target.device)
        return Part(
            {name: feature.rows(there) for name, feature in self.inputs.items()},
            self.target[there],
            self.ids[index.numpy()],
            self.groups[index.numpy()],
        )

    def indices(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Indices of batches of ``size`` (the last may be smaller); shuffled if a generator is given."""
        order = torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        yield from torch.split(order, size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Part]:
        """The batches of ``indices`` themselves."""
        for index in self.indices(size, generator):
            yield self.rows(index)

    @staticmethod
    def concat(*parts: Part) -> Part:
        """Several parts as one."""
        inputs = {}
        for name in parts[0].inputs:
            features = [part.inputs[name] for part in parts]
            inputs[name] = Feature(*(torch.cat(tensors) for tensors in zip(*features, strict=True)))
        ids, groups = (np.concatenate(names) for names in zip(*((p.ids, p.groups) for p in parts), strict=True))
        return Part(inputs, torch.cat([p.target for p in parts]), ids, groups)


@dataclass(frozen=True)
class SearchData:
    """All that a search may see: train (weights), alpha (architecture parameters), select (choice)."""

    train: Part
    alpha: Part
    select: Part
    signature: Signature

    def to(self, device: torch.device) -> SearchData:
        """The same on a device."""
        return SearchData(self.train.to(device), self.alpha.to(device), self.select.to(device), self.signature)

    def all(self) -> Part:
        """train + alpha + select, for the final refit."""
        return Part.concat(self.train, self.alpha, self.select)


class SealedTest:
    """The test part behind a door; ``open`` tells ``record`` before it hands anything out."""

    def __init__(self, load: Callable[[], Part], size: int) -> None:
        self._load = load
        self.size = size

    def open(self, record: Callable[[], None]) -> Part:
        """Record the opening, then return the test part."""
        record()
        return self._load()


@dataclass(frozen=True)
class Dataset:
    """A split and preprocessed data set; hand ``search`` to methods, keep ``test`` shut."""

    search: SearchData
    test: SealedTest
    preprocessing: Preprocessing
    description: Mapping[str, Any]
    facts: Mapping[str, Any]
