"""What a view is: one form in which a raw input can reach an encoder, with its fitted statistics."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from fusionnas.data.raw import Bools, Raw
from fusionnas.data.views.scaling import Scaling
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from typing_extensions import Self

    from fusionnas.space.schema import Modality


class View(abc.ABC):
    """Abstract; a frozen dataclass whose fields are plain data (numbers, strings, tuples, a Scaling)."""

    name: ClassVar[str]
    raw: ClassVar[type[Raw]]

    @classmethod
    @abc.abstractmethod
    def fit(cls, raw: Any, modality: Modality) -> Self:
        """Take the statistics of the train part."""

    @abc.abstractmethod
    def transform(self, raw: Any) -> Feature:
        """N raw samples as one float32 (or int64) feature."""

    @property
    @abc.abstractmethod
    def spec(self) -> InputSpec:
        """Shape of what ``transform`` gives."""

    def notes(self) -> list[str]:
        """Warnings for the reader of the results."""
        return []

    def coverage(self, given: Feature) -> dict[str, float]:
        """Share of the samples of ``given`` that have a value, per column or variable that has gaps; {} = not told."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """Plain data; floats keep every bit (Python writes the shortest text that reads back the same)."""
        assert dataclasses.is_dataclass(self)
        return {"view": self.name, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``to_json`` wrote, also after a trip through a JSON file."""
        fields = {key: _frozen(value) for key, value in data.items() if key != "view"}
        if "scaling" in fields:
            fields["scaling"] = Scaling(**{key: _frozen(value) for key, value in data["scaling"].items()})
        return cls(**fields)


def feature(values: NDArray[Any], present: Bools, mask: Bools | None = None) -> Feature:
    """(N, T, R) numbers (NaN -> 0) as a feature; everything masked is zero. ``mask`` defaults to presence."""
    mask = np.broadcast_to(present[:, None], values.shape[:2]) if mask is None else mask & present[:, None]
    clean = np.where(mask[:, :, None], np.nan_to_num(values), 0).astype(np.float32)
    return Feature(torch.from_numpy(clean), torch.from_numpy(mask.copy()), torch.from_numpy(present.copy()))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
