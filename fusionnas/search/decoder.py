"""What a decoder is: from what a relaxed search has learned to discrete architectures (``search.decoder``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fusionnas.architecture import Architecture
from fusionnas.registry import Registry
from fusionnas.search.budget import Budget
from fusionnas.search.gradient import SupernetTraining
from fusionnas.search.method import Facts, Task
from fusionnas.supernet import Mixing


@dataclass(frozen=True)
class Learned:
    """What a relaxed search has learned.

    Attributes:
        task: what was searched.
        training: supernet and alphas at the end of their training; a decoder may train on.
        mixing: the weights that were learned.
        budget: what is left.
    """

    task: Task
    training: SupernetTraining
    mixing: Mixing
    budget: Budget


@dataclass(frozen=True)
class Decoded:
    """Architectures, best first, and what was measured to get them."""

    finalists: tuple[Architecture, ...]
    facts: dict[str, Any]


class Decoder(Protocol):
    """A registered decoder; ``share`` of a budget is kept for it."""

    facts: Facts
    share: float

    def __call__(self, learned: Learned) -> Decoded:
        """Decode; costly steps are units of the run."""


decoders: Registry[Decoder] = Registry("decoder", "fusionnas.search.decoders")


def register_decoder(
    name: str, facts: Facts, *, share: float = 0.0
) -> Callable[[Callable[[Learned], Decoded]], Decoder]:
    """Decorator: make a function known as ``name`` for ``search.decoder``."""

    def add(function: Callable[[Learned], Decoded]) -> Decoder:
        decoder: Any = function
        decoder.facts, decoder.share = facts, share
        return decoders.register(name)(decoder)

    return add
