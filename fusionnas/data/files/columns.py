"""Formats ``csv`` and ``parquet``: one row per sample, the columns of each input named under ``columns:``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.files.loaded import Loaded
from fusionnas.data.files.request import Input, Request
from fusionnas.data.files.words import split_codes, table_of_texts, tokenize
from fusionnas.data.raw import Ints, Raw, Table, Tokens
from fusionnas.data.tables import is_missing, is_numeric, numbers, read_table
from fusionnas.errors import DataError, MissingExtraError, did_you_mean

Texts = Mapping[str, list[str]]


def read_csv(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One CSV file with a header, also gzip."""
    try:
        return assemble(path, read_table(path), request, problems)
    except DataError as error:
        problems.extend(error.problems)
        return None


def read_parquet(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One Parquet file; needs pyarrow.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    table = _parquet(path, problems)
    if table is None:
        return None
    columns: dict[str, list[str]] = {}
    for name in table.column_names:
        values: list[Any] = table.column(name).to_pylist()
        if any(isinstance(value, list | dict | bytes) for value in values):
            continue  # nested columns are no inputs; one that the space asks for is reported as not there
        columns[name] = ["" if value is None else str(value) for value in values]
    return assemble(path, columns, request, problems)


def parquet_columns(path: Path, problems: list[str]) -> dict[str, NDArray[Any]]:
    """The columns of a Parquet file as arrays, missing numbers as NaN, missing times as NaT; empty where unreadable."""
    table = _parquet(path, problems)
    return {} if table is None else {name: table[name].to_numpy() for name in table.column_names}


def _parquet(path: Path, problems: list[str]) -> Any:
    """A pyarrow table, or None.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading parquet needs pyarrow", ["pip install 'fusionnas[parquet]'"]
        ) from error
    try:
        return parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        problems.append(f"{path}: not a readable Parquet file ({type(error).__name__}: {error})")
        return None


def assemble(path: Path, table: Texts, request: Request, problems: list[str]) -> Loaded | None:
    """Columns of texts as inputs, labels, groups and names."""
    before = len(problems)
    modalities = {
        name: raw
        for name, wanted in request.inputs.items()
        if (raw := _to_raw(path, table, name, wanted, problems)) is not None
    }
    beside: dict[str, list[str] | None] = {}
    for role, column, needed in request.beside:
        beside[role] = table.get(column) if column else None
        if column and needed and column not in table:
            problems.append(f"{path}: no {role} column '{column}'.{did_you_mean(column, table)}")
    if request.labelled and beside["target"] is not None:
        problems.extend(_unlabelled(path, request.target, beside["target"]))
    problems += [f"{path}: no column '{column}' (data.exclude).{did_you_mean(column, table)}"
                 for column in request.exclude if column not in table]  # fmt: skip
    if len(problems) > before:
        return None
    loaded = Loaded.of(path, modalities, beside)
    return loaded.take(_kept(table, request.exclude, loaded.size)) if request.exclude else loaded


def _kept(table: Texts, exclude: Mapping[str, tuple[str, ...]], size: int) -> Ints:
    """Places of the rows that no excluded value stands in."""
    out = np.zeros(size, dtype=np.bool_)
    for column, values in exclude.items():
        out |= np.isin(np.array([text.strip() for text in table[column]]), values)
    return np.flatnonzero(~out)


def _unlabelled(path: Path, name: str, column: list[str]) -> list[str]:
    rows = [i for i, text in enumerate(column) if is_missing(text) or text.strip().lower() in ("inf", "-inf")]
    return (
        [
            f"{path}:{rows[0] + 2} column '{name}': {column[rows[0]]!r} is no label ({len(rows)} such rows); "
            "leave out samples without a label"
        ]
        if rows
        else []
    )


def _to_raw(path: Path, table: Texts, name: str, wanted: Input, problems: list[str]) -> Raw | None:
    if wanted.kind in ("timeseries", "image", "audio"):
        problems.append(
            f"modalities.{name}.kind: {wanted.kind} cannot be read from a table with one row per sample; "
            f"use format npz{' or events' if wanted.kind == 'timeseries' else ''}"
        )
        return None
    if not wanted.columns:
        problems.append(
            f"modalities.{name}.columns: a table needs to know which of its columns are '{name}': {', '.join(table)}"
        )
        return None
    missing = [column for column in wanted.columns if column not in table]
    if missing:
        problems.extend(
            f"{path}: no column '{column}' (modalities.{name}.columns).{did_you_mean(column, table)}"
            for column in missing
        )
        return None
    columns = {column: table[column] for column in wanted.columns}
    rows = list(zip(*columns.values(), strict=True))
    if wanted.kind == "text":
        return Tokens.of([[word for text in row if not is_missing(text) for word in tokenize(text)] for row in rows])
    if wanted.kind == "codes":
        return Tokens.of([[code for text in row for code in split_codes(text)] for row in rows])
    return table_raw(path, columns, wanted, problems)


def table_raw(path: Path, columns: Texts, wanted: Input, problems: list[str]) -> Table | None:
    """Kind tabular or vector."""
    before = len(problems)
    for column, texts in columns.items():
        if column in wanted.categorical or (wanted.kind == "tabular" and not is_numeric(texts)):
            continue
        try:
            numbers(texts, path, column)  # names the rows of what is infinite or, for vectors, no number
        except DataError as error:
            problems.extend(error.problems)
    if len(problems) > before:
        return None
    table = table_of_texts(columns, wanted.categorical)
    assert np.isfinite(table.values[~np.isnan(table.values)]).all()
    return table
