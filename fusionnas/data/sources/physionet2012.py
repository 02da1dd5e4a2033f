"""``physionet2012``: real intensive-care stays, in-hospital mortality from the first 48 hours.

Source: PhysioNet/CinC Challenge 2012, https://physionet.org/content/challenge-2012/1.0.0/ (ODC-BY 1.0). Set A is
for training, searching and selecting, set B is the test part. Inputs: ``static`` (5 columns), ``vitals`` (15
series), ``labs`` (22 series). SAPS-I, SOFA, length of stay and survival are outcomes or reference scores: never inputs.

Read from ``--data-path`` or from ``$FUSIONNAS_DATA/ehr_icu``: a folder with ``set-a`` and ``set-b`` (or ``set_a``,
``set_b``), or one set. A set is the official download (one ``RecordID.txt`` per stay, ``Outcomes-a.txt`` inside or
beside it) or three tables: ``events.csv[.gz]``, ``static.csv``, ``outcomes.csv``. Outcomes may be missing when a
set is only predicted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.raw import Floats, Ints, Series, Table
from fusionnas.data.records import Records
from fusionnas.data.sources import icu
from fusionnas.data.sources.places import data_folder
from fusionnas.data.tables import chunks, numbers, read_table, read_text
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HOW_TO_GET = (
    "download set-a, set-b, Outcomes-a.txt and Outcomes-b.txt from https://physionet.org/content/challenge-2012/1.0.0/ "
    "into one folder, then give that folder with --data-path (or set FUSIONNAS_DATA to a folder that holds it as "
    "'ehr_icu')"
)
_VARIABLES = tuple(dict.fromkeys(icu.VITALS + icu.LABS))
_PLACE = {name: i for i, name in enumerate(_VARIABLES)}
_EventRows = tuple[Ints, Floats, Ints, Floats]


@register_dataset("physionet2012")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Set A as development, set B as test; a folder with one set only as development."""
    folder = path or data_folder("physionet2012", "ehr_icu", HOW_TO_GET)
    sets = find_sets(folder)
    loaded = {name: read_set(where) for name, where in sets.items()}
    names = sorted(loaded)
    test = loaded[names[1]] if len(names) > 1 else None
    description = {
        "source": "physionet2012",
        "target": icu.TARGET,
        "url": "https://physionet.org/content/challenge-2012/1.0.0/",
        "licence": "Open Data Commons Attribution License v1.0",
        "sets": names,
    }
    return Cohort(loaded[names[0]], test, {}, description, {})


def find_sets(folder: Path) -> dict[str, Path]:
    """The sets in a folder, by letter; the folder itself if it is one set.

    Raises:
        DataError: nothing in a known layout.
    """
    if folder.is_dir():
        sets = {
            match[1]: child
            for child in sorted(folder.iterdir())
            if (match := re.fullmatch(r"set[-_]([a-z])", child.name)) and _is_set(child)
        }
        if sets:
            return sets
        if _is_set(folder):
            return {"a": folder}
    raise DataError(
        "physionet2012 cannot be read",
        [
            f"{folder}: expected a folder with set-a and set-b, or one set (RecordID.txt files, or events.csv[.gz] "
            f"with static.csv): {HOW_TO_GET}"
        ],
    )


def read_set(folder: Path) -> Records:
    """One set, in either layout."""
    ids, static, rows = _read_tables(folder) if _events_file(folder) else _read_stays(folder)
    return Records(
        {
            "static": _static(static),
            "vitals": _series(rows, icu.VITALS, len(ids)),
            "labs": _series(rows, icu.LABS, len(ids)),
        },
        _outcomes(folder, ids),
        np.array(ids),
        classes=icu.CLASSES,
    )


def _events_file(folder: Path) -> Path | None:
    found = [folder / name for name in ("events.csv.gz", "events.csv") if (folder / name).is_file()]
    return found[0] if found else None


def _stay_files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("*.txt") if p.stem.isdigit()), key=lambda p: int(p.stem))


def _is_set(folder: Path) -> bool:
    return folder.is_dir() and (_events_file(folder) is not None or bool(_stay_files(folder)))


def _read_tables(folder: Path) -> tuple[list[str], dict[str, Floats], _EventRows]:
    """Identifiers, static columns and events of the three-table layout."""
    table = read_table(folder / "static.csv")
    _need(table, ("RecordID", *icu.STATIC), folder / "static.csv")
    static = {name: numbers(table[name], folder / "static.csv", name) for name in icu.STATIC}
    place = {record: i for i, record in enumerate(table["RecordID"])}
    if len(place) < len(table["RecordID"]):
        raise DataError(f"{folder} cannot be used", [f"{folder / 'static.csv'}: a RecordID appears more than once"])
    path = _events_file(folder)
    assert path is not None
    blocks = []
    for first, chunk in chunks(path):
        _need(chunk, ("RecordID", "minutes", "variable", "value"), path)
        rows = range(first, first + len(chunk["RecordID"]))
        if unknown := set(chunk["RecordID"]) - place.keys():
            row = first + next(i for i, record in enumerate(chunk["RecordID"]) if record in unknown)
            raise DataError(
                f"{path} does not fit static.csv", [f"{path}:{row} column 'RecordID': not a RecordID of static.csv"]
            )
        blocks.append(
            (
                np.array([place[record] for record in chunk["RecordID"]], dtype=np.int64),
                numbers(chunk["minutes"], path, "minutes", rows=rows),
                np.array([_PLACE.get(name, -1) for name in chunk["variable"]], dtype=np.int64),
                numbers(chunk["value"], path, "value", rows=rows),
            )
        )
    sample, minutes, variable, value = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return table["RecordID"], static, (sample, minutes, variable, value)


def _read_stays(folder: Path) -> tuple[list[str], dict[str, Floats], _EventRows]:
    """Identifiers, static columns and events of the official layout: ``Time,Parameter,Value`` per stay."""
    files = _stay_files(folder)
    static = {name: np.full(len(files), -1.0) for name in icu.STATIC}
    minutes: list[int] = []
    sizes: list[int] = []
    variable: list[int] = []
    value: list[float] = []
    for i, path in enumerate(files):
        before = len(value)
        for time, name, number in _stay_rows(path):
            if time == 0 and name in static and static[name][i] == -1:
                static[name][i] = number
            if name in _PLACE and not (name == "Weight" and number == -1):
                minutes.append(time)
                variable.append(_PLACE[name])
                value.append(number)
        sizes.append(len(value) - before)
    sample = np.repeat(np.arange(len(files)), sizes)
    return (
        [path.stem for path in files],
        static,
        (sample, np.array(minutes, float), np.array(variable, np.int64), np.array(value)),
    )


def _stay_rows(path: Path) -> list[tuple[int, str, float]]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines()[1:], start=2):
        try:
            time, name, value = line.split(",")
            hours, minutes = time.split(":")
            rows.append((int(hours) * 60 + int(minutes), name, float(value)))
        except ValueError as error:
            raise DataError(
                f"{path} is not a stay of the challenge",
                [f"{path}:{number}: {line!r}, expected 'HH:MM,Parameter,Value'"],
            ) from error
    return rows


def _static(columns: dict[str, Floats]) -> Table:
    known = {name: np.where(column < 0, np.nan, column) for name, column in columns.items()}
    types = np.array([icu.ICU_TYPES.get(int(code), "") if code > 0 else "" for code in columns["ICUType"]])
    return Table.of({**known, "ICUType": types}, ranges=icu.ranges_of(icu.STATIC))


def _series(rows: _EventRows, names: Sequence[str], size: int) -> Series:
    sample, minutes, variable, value = rows
    place = np.full(len(_VARIABLES) + 1, -1)  # the last entry is that of variables nobody knows
    place[[_PLACE[name] for name in names]] = np.arange(len(names))
    mine = np.flatnonzero(place[variable] >= 0)
    names = tuple(names)
    return Series.from_events(
        sample[mine],
        minutes[mine],
        place[variable[mine]],
        value[mine],
        size=size,
        variables=names,
        horizon=icu.HORIZON,
        ranges=icu.ranges_of(names),
        log=icu.log_of(names),
    )


def _outcomes(folder: Path, ids: Sequence[str]) -> Ints | None:
    """(N,) 0 = survived, 1 = died; None if the set has no outcomes file."""
    letter = folder.resolve().name[-1:]
    candidates = [
        folder / "outcomes.csv",
        *sorted(folder.glob("Outcomes-?.txt")),
        folder.parent / f"Outcomes-{letter}.txt",
    ]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        return None
    # The official header says "In-hospital_death".
    table = {name.replace("-", "_"): column for name, column in read_table(path).items()}
    _need(table, ("RecordID", "In_hospital_death"), path)
    died = dict(zip(table["RecordID"], table["In_hospital_death"], strict=True))
    bad = [record for record in ids if died.get(record) not in ("0", "1")]
    if bad:
        raise DataError(
            f"{path} does not fit the stays",
            [
                f"{path} column 'In_hospital_death': stay {record} has {died.get(record)!r}, expected 0 or 1"
                for record in bad[:5]
            ],
        )
    return np.array([int(died[record]) for record in ids], dtype=np.int64)


def _need(table: dict[str, list[str]], columns: Sequence[str], path: Path) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(
            f"{path} is not in the layout of physionet2012",
            [f"{path}:1: no column '{name}'; it has {', '.join(table)}" for name in missing],
        )
