"""What a space asks of the user's files: one entry per input, whatever views of it there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusionnas.space.schema import Files, SpaceFile


@dataclass(frozen=True)
class Input:
    """One input of the files.

    Attributes:
        kind: as in the space.
        columns: columns or variables, None = all.
        categorical: columns to read as categories.
    """

    kind: str
    columns: tuple[str, ...] | None
    categorical: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """All inputs by source name, and the columns beside them.

    Attributes:
        inputs: by source name.
        target: array or column of the label.
        group: array or column of the groups, or None.
        split: array or column of the parts, or None.
        id: array or column of the names, or None.
        exclude: per column of a table, the values that exclude a row.
        window: hours before the prediction time of which series are read (MEDS).
        labelled: labels must be there.
    """

    inputs: Mapping[str, Input]
    target: str
    group: str | None
    split: str | None
    id: str | None
    exclude: Mapping[str, tuple[str, ...]]
    window: float
    labelled: bool

    @property
    def beside(self) -> tuple[tuple[str, str | None, bool], ...]:
        """What stands beside the inputs: (role, array or column, whether it must be there)."""
        return (
            ("target", self.target, self.labelled),
            ("group", self.group, self.labelled),
            ("split", self.split, self.labelled),
            ("id", self.id, True),
        )

    @classmethod
    def of(cls, file: SpaceFile, files: Files, *, labelled: bool) -> Request:
        """Views of one source are one input with the columns of all of them."""
        inputs: dict[str, Input] = {}
        for name, modality in file.modalities.items():
            source = modality.source or name
            new = Input(modality.kind, modality.columns, modality.categorical)
            old = inputs.get(source)
            inputs[source] = (
                new
                if old is None
                else Input(old.kind, _union(old.columns, new.columns), (*old.categorical, *new.categorical))
            )
        return cls(inputs, files.target, files.group, files.split, files.id, files.exclude, files.window, labelled)


def _union(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if one is None or other is None else tuple(dict.fromkeys(one + other))
