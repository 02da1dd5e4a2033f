"""JSON samples as raw records; everything that is wrong with them at once, each with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from fusionnas.data.files.words import tokenize
from fusionnas.data.raw import Grid, Raw, Series, Table, Tokens
from fusionnas.data.records import Records
from fusionnas.errors import DataError, did_you_mean
from fusionnas.serve.inputs import Input

T = TypeVar("T")


def records_of(samples: Sequence[Any], inputs: Mapping[str, Input]) -> Records:
    """N samples as records.

    Raises:
        DataError: samples are not of the form that ``/schema`` tells; all problems, each with its place.
    """
    problems: list[str] = []
    for place, sample in enumerate(samples):
        if not isinstance(sample, Mapping):
            problems.append(f"[{place}]: given {_kind(sample)}, expected an object with an entry per input")
            continue
        problems += [f"[{place}].{name}: no such input.{did_you_mean(str(name), inputs)}"
                     for name in sample if name not in inputs]  # fmt: skip
    if problems:
        raise DataError("the samples cannot be read", problems)
    reader = _Reader(problems)
    found = {name: reader.read(name, one, [sample.get(name) for sample in samples]) for name, one in inputs.items()}
    if problems:
        raise DataError("the samples cannot be read", problems)
    ids = np.array([str(place) for place in range(len(samples))])
    return Records(found, None, ids)


class _Reader:
    """Reads one input of all samples after another; a value that cannot be read counts as missing and is told."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems

    def read(self, name: str, one: Input, values: list[Any]) -> Raw:
        if one.raw is Table:
            return self._table(name, one, values)
        if one.raw is Series:
            return self._series(name, one, values)
        if one.raw is Tokens:
            return Tokens.of([self._tokens(f"[{i}].{name}", one, value) for i, value in enumerate(values)])
        return Grid(np.stack([self._grid(f"[{i}].{name}", one, value) for i, value in enumerate(values)]))

    def _table(self, name: str, one: Input, values: list[Any]) -> Table:
        numbers = np.full((len(values), len(one.numbers)), np.nan)
        words = {column: [""] * len(values) for column in one.words}
        for row, value in enumerate(values):
            for column, cell in self._cells(f"[{row}].{name}", one, value).items():
                where = f"[{row}].{name}.{column}"
                if column in words:
                    words[column][row] = self._word(where, cell)
                else:
                    numbers[row, one.numbers.index(column)] = self._number(where, cell)
        # An empty column would have no width for its texts.
        return Table(one.numbers, numbers, {column: np.array(texts, dtype=np.str_) for column, texts in words.items()})

    def _cells(self, where: str, one: Input, value: Any) -> dict[str, Any]:
        if value is None:
            return {}
        if one.kind == "vector" and isinstance(value, list):
            if len(value) == len(one.numbers):
                return dict(zip(one.numbers, value, strict=True))
            return self._tell(where, f"given {len(value)} numbers, expected {len(one.numbers)}", {})
        if not isinstance(value, Mapping) or one.kind == "vector":
            wanted = "a list of numbers" if one.kind == "vector" else "an object with an entry per column"
            return self._tell(where, f"given {_kind(value)}, expected {wanted}", {})
        known = [*one.numbers, *one.words]
        for column in value:
            if column not in known:
                self._tell(where, f"no column '{column}'.{did_you_mean(str(column), known)}", None)
        return {column: cell for column, cell in value.items() if column in known and cell is not None}

    def _series(self, name: str, one: Input, values: list[Any]) -> Series:
        rows: list[tuple[int, float, int, float]] = []
        for row, value in enumerate(values):
            where = f"[{row}].{name}"
            if value is not None and not isinstance(value, list):
                self._tell(where, f"given {_kind(value)}, expected a list of observations", None)
                continue
            for place, entry in enumerate(value or []):
                if (seen := self._observation(f"{where}[{place}]", one, entry)) is not None:
                    rows.append((row, *seen))
        sample, times, variable, found = (np.array(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
        return Series.from_events(
            np.asarray(sample, dtype=np.int64), np.asarray(times, dtype=np.float64),
            np.asarray(variable, dtype=np.int64), np.asarray(found, dtype=np.float64),
            size=len(values), variables=one.numbers,
        )  # fmt: skip

    def _observation(self, where: str, one: Input, entry: Any) -> tuple[float, int, float] | None:
        if not isinstance(entry, Mapping) or set(entry) != {"time", "variable", "value"}:
            return self._tell(where, "expected an object with time, variable and value", None)
        if entry["variable"] not in one.numbers:
            close = did_you_mean(str(entry["variable"]), one.numbers)
            return self._tell(f"{where}.variable", f"no variable '{entry['variable']}'.{close}", None)
        time = self._number(f"{where}.time", entry["time"])
        if not time >= 0:
            return self._tell(f"{where}.time", "expected a number from 0 up", None)
        return time, one.numbers.index(entry["variable"]), self._number(f"{where}.value", entry["value"])

    def _tokens(self, where: str, one: Input, value: Any) -> list[str]:
        if value is None:
            return []
        if isinstance(value, str) and one.kind == "text":
            return list(tokenize(value))
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        return self._tell(where, f"given {_kind(value)}, expected a list of texts", [])

    def _grid(self, where: str, one: Input, value: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        nothing = np.full(one.shape, np.nan, dtype=np.float32)
        if value is None:
            return nothing
        try:
            array = np.array(value, dtype=np.float32)
        except (ValueError, TypeError):
            return self._tell(where, f"expected nested lists of numbers of shape {list(one.shape)}", nothing)
        if array.shape == one.shape[1:] and one.shape[0] == 1:
            array = array[None]
        if array.shape != one.shape:
            told = f"given shape {list(array.shape)}, expected {list(one.shape)}"
            return self._tell(where, told, nothing)
        return array

    def _number(self, where: str, cell: Any) -> float:
        if cell is None:
            return math.nan
        if isinstance(cell, (int, float)) and not isinstance(cell, bool) and math.isfinite(cell):
            return float(cell)
        return self._tell(where, f"given {_kind(cell)}, expected a finite number or null", math.nan)

    def _word(self, where: str, cell: Any) -> str:
        if isinstance(cell, str):
            return cell
        if isinstance(cell, int) and not isinstance(cell, bool):
            return str(cell)
        return self._tell(where, f"given {_kind(cell)}, expected a text or null", "")

    def _tell(self, where: str, message: str, instead: T) -> T:
        self.problems.append(f"{where}: {message}")
        return instead


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)
