"""Reading CSV files: fast for long tables, and exact about where something is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator, Sequence
from operator import methodcaller
from pathlib import Path

import numpy as np

from fusionnas.data.raw import Floats
from fusionnas.errors import DataError

MISSING = frozenset({"", "na", "nan", "null", "none", "n/a", "?"})
_CHUNK = 16 << 20  # bytes of lines handled at once: long tables would not fit in memory as Python strings


def read_text(path: Path) -> str:
    """The text of a file, also gzip; DataError if it is not there or cannot be read."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig") as handle
        ):
            return handle.read()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read", [f"{path}: {type(error).__name__}: {error}"]) from error


def chunks(path: Path) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """A CSV file with a header, some rows at a time: (number of the first row, columns).

    Rows are numbered as in an editor: the header is row 1.

    Raises:
        DataError: no header, a column named twice, or a row with too many or too few fields.
    """
    text = read_text(path)
    header, _, body = text.partition("\n")
    names = next(csv.reader([header]), [])
    if not names or len(set(names)) < len(names):
        raise DataError(
            f"{path} is not a table", [f"{path}:1: expected a header with distinct column names, given {header!r}"]
        )
    row = 2
    if '"' in body:  # quoted fields may hold commas and line ends: only the csv module reads those
        yield row, _columns(names, list(csv.reader(io.StringIO(body))), path, row)
        return
    lines = io.StringIO(body.replace("\r", ""))
    while block := lines.readlines(_CHUNK):
        if not block[-1].endswith("\n"):
            block[-1] += "\n"
        if set(map(methodcaller("count", ","), block)) == {len(names) - 1} and "\n" not in block:
            flat = "".join(block).replace("\n", ",").split(",")[:-1]
            yield row, {name: flat[i :: len(names)] for i, name in enumerate(names)}
        else:
            yield row, _columns(names, list(csv.reader(block)), path, row)
        row += len(block)


def read_table(path: Path) -> dict[str, list[str]]:
    """A whole CSV file with a header as one list of strings per column."""
    columns: dict[str, list[str]] = {}
    for _, chunk in chunks(path):
        for name, values in chunk.items():
            columns.setdefault(name, []).extend(values)
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{path} is empty", [f"{path}: expected a header and at least one row"])
    return columns


def numbers(column: Sequence[str], path: Path, name: str, *, rows: Sequence[int] | None = None) -> Floats:
    """Strings as floats; empty, NA and NaN become NaN. ``rows``: where they stand in the file, else from row 2 on.

    Raises:
        DataError: something that is not a number, or infinite, with its row.
    """
    values = to_floats(column)
    bad = [(i + 2 if rows is None else rows[i], column[i]) for i in np.flatnonzero(np.isinf(values)).tolist()]
    if bad:
        raise DataError(
            f"{path} has values that are not finite numbers",
            [
                f"{path}:{row} column '{name}': {text!r} is not a finite number; leave the field empty if it is missing"
                for row, text in bad[:10]
            ]
            + ([f"and {len(bad) - 10} more"] if len(bad) > 10 else []),
        )
    return values


def to_floats(column: Sequence[str]) -> Floats:
    """Strings as floats; empty, NA and NaN become NaN, what is no number becomes infinite."""
    try:
        return np.array(list(map(float, column)), dtype=np.float64)
    except ValueError:
        return np.array([_number(text) for text in column], dtype=np.float64)


def is_numeric(column: Sequence[str]) -> bool:
    """Whether every string is a number or says that it is missing."""
    return all(
        not math.isinf(_number(text)) or text.strip().lower().lstrip("+-") in ("inf", "infinity")
        for text in set(column)
    )


def is_missing(text: str) -> bool:
    """Whether a field says that there is no value."""
    return text.strip().lower() in MISSING


def _number(text: str) -> float:
    """The number, NaN if missing, inf if it is none."""
    if is_missing(text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.inf


def _columns(names: Sequence[str], rows: list[list[str]], path: Path, first_row: int) -> dict[str, list[str]]:
    problems = [
        f"{path}:{first_row + i}: {len(row)} fields, expected {len(names)} ({', '.join(names)})"
        for i, row in enumerate(rows)
        if row and len(row) != len(names)
    ]
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise DataError(f"{path} has rows with too many or too few fields", problems[:10] + more)
    rows = [row for row in rows if row]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}
