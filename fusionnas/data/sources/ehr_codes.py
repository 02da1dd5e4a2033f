"""``ehr_codes``: intensive-care stays of many hospitals, with codes beside vital signs and laboratory values.

Source: eICU Collaborative Research Database demo (ODbL 1.0), https://physionet.org/content/eicu-crd-demo/. Inputs:
``static`` (demographics and admission), ``vitals`` and ``labs`` (irregular series), and the code lists
``medications``, ``diagnoses``, ``treatments``, ``history``; a list may be missing because a hospital did not record
it. Only stays of at least 24 hours, and only what was known in the first 24 hours. Outcomes: ``died_in_hospital``,
or ``long_stay`` (more than three days in intensive care). Patients are never split over parts.

Read from ``--data-path`` or ``$FUSIONNAS_DATA/ehr_codes``: a folder with ``labels.csv``, ``static.csv``,
``events.csv.gz``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.files.words import table_of_texts
from fusionnas.data.raw import Floats, Raw, Series, Table, Tokens
from fusionnas.data.records import Records
from fusionnas.data.sources.places import data_folder
from fusionnas.data.tables import chunks, numbers, read_table
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = (
    "download the demo from https://physionet.org/content/eicu-crd-demo/ and give such a folder with --data-path"
)
OUTCOMES = ("died_in_hospital", "long_stay")
HORIZON = 1440.0
"""Minutes of a stay that may be read: the first 24 hours; earlier events count as minute 0."""
_COLUMN = {"died_in_hospital": "died_in_hospital", "long_stay": "unit_los_minutes"}
_LIMIT = {"died_in_hospital": 0.5, "long_stay": 3 * 1440.0}
_CODES = {"med": "medications", "inf": "medications", "dx": "diagnoses", "admdx": "diagnoses",
          "tx": "treatments", "hx": "history"}  # fmt: skip
_SERIES = {"vital": "vitals", "aps": "labs"}
_CATEGORIES = ("unitvisitnumber",)


@register_dataset("ehr_codes")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Intensive-care stays with diagnoses, treatments and medications."""
    folder = path or data_folder("ehr_codes", "ehr_codes", HOW_TO_GET)
    target = space.file.task.target
    if target not in OUTCOMES:
        raise DataError("ehr_codes has no such outcome", [f"task.target: '{target}', expected {' or '.join(OUTCOMES)}"])
    labels = read_table(folder / "labels.csv")
    outcome = numbers(labels[_COLUMN[target]], folder / "labels.csv", _COLUMN[target])
    eligible = np.array([text == "1" for text in labels["eligible_24h"]])
    kept = np.flatnonzero(eligible & ~np.isnan(outcome)).tolist()
    stays = [labels["stay_id"][i] for i in kept]
    records = Records(
        {"static": _static(folder / "static.csv", stays), **_events(folder / "events.csv.gz", stays)},
        (outcome[kept] > _LIMIT[target]).astype(np.int64),
        np.array(stays),
        np.array([labels["patient_id"][i] for i in kept]),
        ("short", "long") if target == "long_stay" else ("survived", "died"),
    )
    split = np.array([labels["split"][i] for i in kept]) if "split" in labels else np.full(len(kept), "train")
    test = np.flatnonzero(split == "test")
    description = {"source": "ehr_codes", "target": target, "licence": "ODbL 1.0",
                   "url": "https://physionet.org/content/eicu-crd-demo/"}  # fmt: skip
    if len(test) in (0, len(kept)):
        return Cohort(records, None, {}, description, {})
    return Cohort(records.take(np.flatnonzero(split != "test")), records.take(test), {}, description, {})


def _static(path: Path, stays: Sequence[str]) -> Table:
    table = read_table(path)
    place = {stay: i for i, stay in enumerate(table.pop("stay_id"))}
    rows = [place[stay] for stay in stays]
    return table_of_texts({name: [column[i] for i in rows] for name, column in table.items()}, _CATEGORIES)


def _events(path: Path, stays: Sequence[str]) -> dict[str, Raw]:
    """Series and code lists of all stays, from the long table."""
    place = {stay: i for i, stay in enumerate(stays)}
    series: dict[str, list[tuple[int, float, str, float]]] = {name: [] for name in _SERIES.values()}
    codes: dict[str, list[tuple[int, float, str]]] = {name: [] for name in _CODES.values()}
    for first, chunk in chunks(path):
        rows = range(first, first + len(chunk["stay_id"]))
        minutes = numbers(chunk["minutes"], path, "minutes", rows=rows)
        values = numbers(chunk["value"], path, "value", rows=rows)
        for i in np.flatnonzero(minutes <= HORIZON).tolist():
            stay, kind = place.get(chunk["stay_id"][i]), chunk["modality"][i]
            if stay is None:
                continue
            time = max(float(minutes[i]), 0.0)
            if kind in _SERIES:
                series[_SERIES[kind]].append((stay, time, chunk["code"][i], float(values[i])))
            elif kind in _CODES:
                codes[_CODES[kind]].append((stay, float(minutes[i]), chunk["code"][i]))
    found: dict[str, Raw] = {name: _series(rows, len(stays)) for name, rows in series.items()}
    return found | {name: _tokens(rows, len(stays)) for name, rows in codes.items()}


def _series(rows: Sequence[tuple[int, float, str, float]], size: int) -> Series:
    names = tuple(sorted({code for _, _, code, _ in rows}))
    place = {name: i for i, name in enumerate(names)}
    sample = np.array([row[0] for row in rows], dtype=np.int64)
    times: Floats = np.array([row[1] for row in rows], dtype=np.float64)
    variable = np.array([place[row[2]] for row in rows], dtype=np.int64)
    values: Floats = np.array([row[3] for row in rows], dtype=np.float64)
    return Series.from_events(sample, times, variable, values, size=size, variables=names, horizon=HORIZON)


def _tokens(rows: Sequence[tuple[int, float, str]], size: int) -> Tokens:
    """Each code once per stay, in order of its first time."""
    lists: list[dict[str, None]] = [{} for _ in range(size)]
    for stay, _, code in sorted(rows):
        lists[stay].setdefault(code)
    return Tokens.of([list(codes) for codes in lists])
