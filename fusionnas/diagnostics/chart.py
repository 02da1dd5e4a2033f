"""Charts as data: what a diagnostic wants drawn. The report draws them, their numbers are written as CSV.

Three forms are enough: curves, values with intervals, and a table of shades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Curves:
    """Lines over one axis.

    Attributes:
        title: what is shown.
        x_label, y_label: axes, with units.
        x: places, shared by all curves.
        y: per curve its values; None where there is none.
        bands: per curve, if known, its lower and upper bounds.
    """

    kind: ClassVar[str] = "curves"
    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    y: Mapping[str, Sequence[float | None]]
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One row per place."""
        return [{self.x_label: x, **{name: values[i] for name, values in self.y.items()}} for i, x in enumerate(self.x)]


@dataclass(frozen=True)
class Intervals:
    """One value per label, with its interval where one is known.

    Attributes:
        title: what is shown.
        x_label: the axis, with unit.
        labels: from top to bottom.
        values: one per label; None where there is none.
        low, high: interval; None where none is known.
        reference: place of a line to compare with, such as 0, or None.
    """

    kind: ClassVar[str] = "intervals"
    title: str
    x_label: str
    labels: Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    reference: float | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One row per label."""
        columns = zip(self.labels, self.values, self.low, self.high, strict=True)
        return [{"label": label, self.x_label: v, "low": low, "high": high} for label, v, low, high in columns]


@dataclass(frozen=True)
class Shades:
    """A table whose values are also shown as shades.

    Attributes:
        title: what is shown.
        unit: of the values.
        rows_label, columns_label: what rows and columns are.
        row_names, column_names: from the top, from the left.
        values: row by row; None where there is none.
    """

    kind: ClassVar[str] = "shades"
    title: str
    unit: str
    rows_label: str
    columns_label: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    values: Sequence[Sequence[float | None]]

    def rows(self) -> list[dict[str, Any]]:
        """One row per row."""
        return [
            {self.rows_label: name, **dict(zip(self.column_names, line, strict=True))}
            for name, line in zip(self.row_names, self.values, strict=True)
        ]


Chart = Curves | Intervals | Shades
_FORMS: dict[str, type[Curves] | type[Intervals] | type[Shades]] = {
    form.kind: form for form in (Curves, Intervals, Shades)
}


def to_json(chart: Chart) -> dict[str, Any]:
    """Plain data; ``from_json`` is the way back."""
    return {"kind": chart.kind, **asdict(chart)}


def from_json(data: Mapping[str, Any]) -> Chart:
    """Read what ``to_json`` wrote."""
    return _FORMS[data["kind"]](**{key: value for key, value in data.items() if key != "kind"})
