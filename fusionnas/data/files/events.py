"""Format ``events``: a folder with long tables.

``events.csv[.gz]`` with columns id, time, variable, value (times from the start of the sample, >= 0);
``static.csv`` with one row per id (kinds tabular, vector, text, codes); ``labels.csv`` with the target, and a group
column if wanted.
The column of the names is ``id``, or what the space says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusionnas.data.files.columns import Texts, assemble
from fusionnas.data.files.loaded import Loaded
from fusionnas.data.files.request import Input, Request
from fusionnas.data.files.words import split_codes
from fusionnas.data.raw import Floats, Raw, Series, Tokens
from fusionnas.data.tables import numbers, read_table
from fusionnas.errors import DataError, did_you_mean

_LIMIT = 10


def read_events(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One folder."""
    tables = {
        name: table for name in ("events", "static", "labels") if (table := _table(path, name, problems)) is not None
    }
    key = request.id or "id"
    ids = _sample_ids(path, tables, key, problems)
    if ids is None or "events" not in tables:
        return None
    reader = _Events(path / "events.csv", tables["events"], key, ids)
    reader.check(problems)
    if problems:
        return None
    modalities = {
        name: raw
        for name, wanted in request.inputs.items()
        if wanted.kind == "timeseries" or (wanted.kind == "codes" and _from_events(wanted, tables))
        if (raw := reader.read(name, wanted, problems)) is not None
    }
    rest = replace(request, inputs={n: w for n, w in request.inputs.items() if n not in modalities}, id=key)
    rows = _one_row_each(ids, tables, key)
    loaded = assemble(path, rows, _explicit(rest, rows), problems)
    if loaded is None or problems:
        return None
    ordered = {name: {**modalities, **loaded.modalities}[name] for name in request.inputs}
    return replace(loaded, modalities=ordered, notes=reader.notes)


def _table(path: Path, name: str, problems: list[str]) -> Texts | None:
    found = next((p for p in (path / f"{name}.csv", path / f"{name}.csv.gz") if p.is_file()), None)
    if found is None:
        if name == "events":
            problems.append(f"{path}: no events.csv or events.csv.gz in it")
        return None
    try:
        return read_table(found)
    except DataError as error:
        problems.extend(error.problems)
        return None


def _sample_ids(path: Path, tables: dict[str, Texts], key: str, problems: list[str]) -> list[str] | None:
    """Names of the samples: those of labels.csv, else of static.csv, else of events.csv."""
    before = len(problems)
    for name, table in tables.items():
        if key not in table:
            problems.append(f"{path / name}.csv: no column '{key}'.{did_you_mean(key, table)}")
        elif name != "events" and (twice := [i for i, n in Counter(table[key]).items() if n > 1]):
            problems.append(
                f"{path / name}.csv column '{key}': {twice[0]!r} appears more than once ({len(twice)} such ids)"
            )
    if len(problems) > before or not tables:
        return None
    first = next(name for name in ("labels", "static", "events") if name in tables)
    return list(dict.fromkeys(tables[first][key]))


def _from_events(wanted: Input, tables: dict[str, Texts]) -> bool:
    """Codes are events, unless static.csv has all of their columns."""
    return not (wanted.columns and set(wanted.columns) <= set(tables.get("static", {})))


def _one_row_each(ids: Sequence[str], tables: dict[str, Texts], key: str) -> dict[str, list[str]]:
    """Columns of static.csv and labels.csv in the order of ``ids``; "" where a table lacks the id."""
    rows: dict[str, list[str]] = {key: list(ids)}
    for name in ("static", "labels"):
        table = tables.get(name, {})
        place = {record: i for i, record in enumerate(table.get(key, []))}
        for column, texts in table.items():
            if column != key:
                rows[column] = [texts[place[record]] if record in place else "" for record in ids]
    return rows


def _explicit(request: Request, rows: Texts) -> Request:
    """A table without ``columns`` takes all columns that have no other use."""
    used = {request.target, request.group, request.split, request.id} | {
        c for wanted in request.inputs.values() for c in wanted.columns or ()
    }
    free = tuple(name for name in rows if name not in used)
    inputs = {
        name: replace(wanted, columns=free) if wanted.columns is None and wanted.kind == "tabular" else wanted
        for name, wanted in request.inputs.items()
    }
    return replace(request, inputs=inputs)


class _Events:
    """The long table, indexed by sample."""

    def __init__(self, path: Path, table: Texts, key: str, ids: Sequence[str]) -> None:
        self.path, self.table, self.size = path, table, len(ids)
        place = {record: i for i, record in enumerate(ids)}
        self.sample = np.array([place.get(record, -1) for record in table[key]], dtype=np.int64)
        strangers = len({record for record in table[key] if record not in place})
        self.notes = [f"{path}: events of {strangers} ids that are in no other table are left out"] if strangers else []
        self.times: Floats = np.zeros(0)

    def check(self, problems: list[str]) -> None:
        """Columns are there, times are numbers >= 0."""
        missing = [name for name in ("time", "variable", "value") if name not in self.table]
        problems.extend(f"{self.path}:1: no column '{name}'; it has {', '.join(self.table)}" for name in missing)
        if missing:
            return
        try:
            self.times = numbers(self.table["time"], self.path, "time")
        except DataError as error:
            problems.extend(error.problems)
            return
        bad = np.flatnonzero(~(self.times >= 0))
        problems.extend(
            f"{self.path}:{i + 2} column 'time': {self.table['time'][i]!r}, expected a time >= 0 from its start"
            for i in bad[:_LIMIT]
        )

    def read(self, name: str, wanted: Input, problems: list[str]) -> Raw | None:
        """The events of one input."""
        known = dict.fromkeys(self.table["variable"])
        variables = wanted.columns or tuple(known)
        missing = [variable for variable in variables if variable not in known]
        if len(missing) == len(variables):
            problems.append(
                f"modalities.{name}.columns: {self.path} has none of them.{did_you_mean(missing[0], known)}"
            )
            return None
        place = {variable: i for i, variable in enumerate(variables)}
        variable = np.array([place.get(text, -1) for text in self.table["variable"]], dtype=np.int64)
        mine = np.flatnonzero((variable >= 0) & (self.sample >= 0))
        values = [self.table["value"][i] for i in mine]
        if wanted.kind == "codes":
            return self._codes(mine, values)
        try:
            amounts = numbers(values, self.path, "value", rows=(mine + 2).tolist())
        except DataError as error:
            problems.extend(error.problems)
            return None
        return Series.from_events(
            self.sample[mine], self.times[mine], variable[mine], amounts, size=self.size, variables=variables
        )

    def _codes(self, mine: np.ndarray[tuple[int, ...], np.dtype[np.intp]], values: list[str]) -> Tokens:
        sequences: list[list[str]] = [[] for _ in range(self.size)]
        for i in np.lexsort((self.times[mine], self.sample[mine])):
            sequences[self.sample[mine[i]]].extend(split_codes(values[i]))
        return Tokens.of(sequences)
