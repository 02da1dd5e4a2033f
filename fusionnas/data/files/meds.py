"""Format ``meds``: a folder in the Medical Event Data Standard.

``data/**/*.parquet`` with columns subject_id, time, code, numeric_value; ``labels/**/*.parquet`` with subject_id,
prediction_time and the target; ``metadata/subject_splits.parquet`` (train, tuning, held_out) if there. A sample is
one row of the labels and sees nothing after its prediction time; without labels, each subject once, at its last event.

Source: Arnrich et al., "Medical Event Data Standard (MEDS)", 2024, https://medical-event-data-standard.github.io.
Departs from it: codes that belong together are named by their first part (``LAB`` for ``LAB//50912//mg/dL``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.files.columns import parquet_columns
from fusionnas.data.files.loaded import Loaded
from fusionnas.data.files.request import Input, Request
from fusionnas.data.raw import Floats, Ints, Raw, Series, Table, Tokens, Words
from fusionnas.errors import did_you_mean

BIRTH, AGE = "MEDS_BIRTH", "age"
_SPLITS = {"train": "train", "tuning": "select", "held_out": "test"}
_HOURS = np.timedelta64(1, "h")
_YEAR = 365.25 * 24


def read_meds(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One folder."""
    before = len(problems)
    events = _read(path, "data", {"subject_id", "time", "code", "numeric_value"}, problems)
    labels = _read(path, "labels", {"subject_id", "prediction_time", request.target}, problems, must=request.labelled)
    if len(problems) > before or events is None:
        return None
    history = _History.of(events, labels, request.window)
    inputs = {name: history.read(name, wanted, problems) for name, wanted in request.inputs.items()}
    if len(problems) > before:
        return None
    target = None if labels is None else [str(value) for value in labels[request.target]]
    subjects = [str(subject) for subject in history.subject]
    group = subjects if labels is None or request.group is None else [str(v) for v in labels[request.group]]
    splits = _splits(path, problems)
    split = None if splits is None else [_SPLITS.get(splits.get(subject, "train"), "train") for subject in subjects]
    return Loaded(path, {n: raw for n, raw in inputs.items() if raw is not None}, target, history.names, group, split)


def _read(
    path: Path, folder: str, columns: set[str], problems: list[str], *, must: bool = True
) -> dict[str, NDArray[Any]] | None:
    files = sorted((path / folder).rglob("*.parquet"))
    if not files:
        if must:
            problems.append(f"{path / folder}: no .parquet file in it; expected a folder in the MEDS layout")
        return None
    parts = []
    for file in files:
        table = parquet_columns(file, problems)
        missing = sorted(columns - set(table)) if table else []
        problems.extend(f"{file}: no column '{name}'.{did_you_mean(name, table)}" for name in missing)
        if table and not missing:
            parts.append(table)
    if not parts:
        return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if all(name in p for p in parts)}


def _splits(path: Path, problems: list[str]) -> dict[str, str] | None:
    file = path / "metadata" / "subject_splits.parquet"
    if not file.is_file():
        return None
    table = parquet_columns(file, problems)
    return {str(subject): str(name) for subject, name in zip(table["subject_id"], table["split"], strict=True)}


@dataclass(frozen=True)
class _History:
    """What each sample sees: E rows of (sample, hours before its prediction time, code, value), oldest first.

    Attributes:
        subject: (N,) the subject of each sample.
        when: (N,) prediction times.
        sample, before, code, value: (E,); ``before`` is infinite for what has no time, such as the sex.
        window: hours of series that are read.
    """

    subject: NDArray[Any]
    when: NDArray[np.datetime64]
    sample: Ints
    before: Floats
    code: Words
    value: Floats
    window: float

    @classmethod
    def of(cls, events: dict[str, NDArray[Any]], labels: dict[str, NDArray[Any]] | None, window: float) -> _History:
        time = events["time"].astype("datetime64[us]")
        timeless = np.isnat(time)
        order = np.lexsort((np.where(timeless, np.datetime64(0, "us"), time), ~timeless, events["subject_id"]))
        subject, time = events["subject_id"][order], time[order]
        first, last = _bounds(subject)
        if labels is None:
            own = np.unique(subject)
            when = np.array([time[last[s] - 1] for s in own.tolist()])
        else:
            own, when = labels["subject_id"], labels["prediction_time"].astype("datetime64[us]")
        spans = [(first.get(s, 0), last.get(s, 0)) for s in own.tolist()]
        rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in spans)])
        sample = np.repeat(np.arange(len(own)), [b - a for a, b in spans])
        before = (when[sample] - time[rows]) / _HOURS
        before = np.where(np.isnat(time[rows]), np.inf, before)
        seen = np.flatnonzero(before >= 0)
        value = events["numeric_value"][order].astype(np.float64)[rows][seen]
        code = events["code"][order].astype(np.str_)[rows][seen]
        return cls(own, when, sample[seen], before[seen], code, value, window)

    @property
    def names(self) -> list[str]:
        """Subject and prediction time; a subject may have several samples."""
        return [f"{s}@{np.datetime_as_string(w, unit='m')}" for s, w in zip(self.subject, self.when, strict=True)]

    def read(self, name: str, wanted: Input, problems: list[str]) -> Raw | None:
        """One input."""
        if wanted.kind == "timeseries":
            return self._series(name, wanted, problems)
        if wanted.kind == "codes":
            return self._codes(wanted.columns)
        if wanted.kind == "tabular" and wanted.columns:
            return Table.of({column: self._column(column) for column in wanted.columns})
        need = "needs columns" if wanted.kind == "tabular" else f"'{wanted.kind}' is not read from MEDS"
        problems.append(f"modalities.{name}: {need}; kinds are timeseries, codes, and tabular with columns")
        return None

    def _series(self, name: str, wanted: Input, problems: list[str]) -> Series | None:
        numeric = ~np.isnan(self.value) & (self.before <= self.window)
        known = sorted(set(self.code[numeric].tolist()))
        variables = wanted.columns or tuple(known)
        if not set(variables) & set(known):
            hint = did_you_mean(variables[0], known[:200]) if variables and known else " There is no numeric value."
            problems.append(f"modalities.{name}.columns: no numeric value of any of these codes.{hint}")
            return None
        place = {code: i for i, code in enumerate(variables)}
        variable = np.array([place.get(code, -1) for code in self.code.tolist()], dtype=np.int64)
        mine = np.flatnonzero(numeric & (variable >= 0))
        return Series.from_events(
            self.sample[mine], self.window - self.before[mine], variable[mine], self.value[mine],
            size=len(self.subject), variables=tuple(variables), horizon=self.window,
        )  # fmt: skip

    def _codes(self, columns: Sequence[str] | None) -> Tokens:
        if columns is None:
            mine = np.flatnonzero(np.isnan(self.value) & (self.code != BIRTH))
        else:
            mine = np.flatnonzero(np.logical_or.reduce([self._is(column) for column in columns]))
        lists: list[list[str]] = [[] for _ in range(len(self.subject))]
        for i in mine.tolist():
            lists[self.sample[i]].append(str(self.code[i]))
        return Tokens.of(lists)

    def _column(self, column: str) -> NDArray[Any]:
        """Age in years, the latest value of a code, or what follows ``CODE//`` as a category."""
        size = len(self.subject)
        if column == AGE:
            years = np.full(size, np.nan)
            born = self.code == BIRTH
            years[self.sample[born]] = self.before[born] / _YEAR
            return years
        mine = self._is(column)
        numeric = mine & ~np.isnan(self.value)
        if numeric.any():
            latest = np.full(size, np.nan)
            latest[self.sample[numeric]] = self.value[numeric]
            return latest
        words = np.full(size, "", dtype=object)
        words[self.sample[mine]] = [code.partition("//")[2] or code for code in self.code[mine].tolist()]
        return words.astype(np.str_)

    def _is(self, column: str) -> NDArray[np.bool_]:
        return np.asarray((self.code == column) | np.char.startswith(self.code, f"{column}//"))


def _bounds(subject: NDArray[Any]) -> tuple[dict[Any, int], dict[Any, int]]:
    """First row and one past the last row of each subject; rows are in order of subjects."""
    own, first, count = np.unique(subject, return_index=True, return_counts=True)
    starts = dict(zip(own.tolist(), first.tolist(), strict=True))
    return starts, {s: starts[s] + n for s, n in zip(own.tolist(), count.tolist(), strict=True)}
