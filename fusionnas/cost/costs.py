"""Costs: the measured table of parts, and what any architecture costs by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fusionnas.architecture import Architecture, Point, Source
from fusionnas.cost.parts import parts_by_source
from fusionnas.errors import SpaceError
from fusionnas.feature import Signature

Measure = Literal["latency_ms", "macs", "parameters"]


@dataclass(frozen=True)
class PartCost:
    """What one part costs.

    Attributes:
        latency_ms: lower quartile of the milliseconds per batch.
        spread_ms: distance of the quartiles of the same measurements.
        macs: multiply-adds of matrix products per sample.
        parameters: weights that it holds.
        tokens: length of what it gives out.
    """

    latency_ms: float
    spread_ms: float
    macs: int
    parameters: int
    tokens: int = 1


@dataclass(frozen=True)
class Costs:
    """Costs of all parts of a space on one device at one batch size.

    Attributes:
        parts: by name (:mod:`fusionnas.cost.parts`).
        signature: sizes of the inputs.
        wide: modalities with a wide path.
        batch: samples per measured pass.
        device: where it was measured.
        threads: of torch, while it was measured.
    """

    parts: Mapping[str, PartCost]
    signature: Signature
    wide: tuple[str, ...]
    batch: int
    device: str
    threads: int

    def of(self, architecture: Architecture, measure: Measure) -> float:
        """One cost of an architecture; ``latency_ms`` is per batch, the others per sample and per network.

        Raises:
            SpaceError: it has a part that was not measured, such as an operator from outside the space.
        """
        return sum(times * float(getattr(self.parts[part], measure)) for part, times in self._all(architecture))

    def latency_ms(self, architecture: Architecture) -> float:
        """Predicted milliseconds of one forward pass of a batch."""
        return self.of(architecture, "latency_ms")

    def macs(self, architecture: Architecture) -> int:
        """Multiply-adds of matrix products per sample."""
        return round(self.of(architecture, "macs"))

    def parameters(self, architecture: Architecture) -> int:
        """Weights of the built network."""
        return round(self.of(architecture, "parameters"))

    def sources_ms(self, architecture: Architecture) -> dict[Source | None, float]:
        """Milliseconds per batch to get each fusion point from the level below and each node from its inputs.

        None: what runs in any case.
        """
        return {
            source: sum(times * self.parts[part].latency_ms for part, times in parts.items())
            for source, parts in self._parts(architecture).items()
        }

    def encoders_ms(self, architecture: Architecture) -> dict[str, float]:
        """Milliseconds per batch of each modality's encoder and wide path."""
        found = dict.fromkeys(architecture.modalities, 0.0)
        for source, spent in self.sources_ms(architecture).items():
            if isinstance(source, Point):
                found[source.modality] += spent
        return found

    def summary(self, architecture: Architecture) -> dict[str, Any]:
        """What ``results.json`` says under ``cost``."""
        spread = sum((times * self.parts[part].spread_ms) ** 2 for part, times in self._all(architecture)) ** 0.5
        return {
            "parameters": self.parameters(architecture),
            "macs": self.macs(architecture),
            "latency_ms": self.latency_ms(architecture),
            "latency_spread_ms": spread,
            "latency_batch": self.batch,
            "latency_device": self.device,
        }

    def _all(self, architecture: Architecture) -> list[tuple[str, float]]:
        return [entry for parts in self._parts(architecture).values() for entry in parts.items()]

    def _parts(self, architecture: Architecture) -> dict[Source | None, Counter[str]]:
        tokens = {name: part.tokens for name, part in self.parts.items()}
        found = parts_by_source(architecture, self.signature, tokens, self.wide)
        missing = [part for parts in found.values() for part in parts if part not in self.parts]
        if missing:
            raise SpaceError(f"the cost of architecture {architecture.id} is not known", [
                f"{part}: not measured; it is outside of the space that was measured" for part in missing
            ])  # fmt: skip
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``from_json`` gives back an equal object."""
        return {
            "parts": {name: vars(part) for name, part in self.parts.items()},
            "signature": self.signature.to_json(),
            "wide": list(self.wide),
            "batch": self.batch,
            "device": self.device,
            "threads": self.threads,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Costs:
        """Read what ``to_json`` gave."""
        return cls(
            {name: PartCost(**part) for name, part in data["parts"].items()},
            Signature.from_json(data["signature"]),
            tuple(data["wide"]),
            int(data["batch"]),
            str(data["device"]),
            int(data["threads"]),
        )
