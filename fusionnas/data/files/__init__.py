"""The user's own files as a data set; layouts in ``docs/data.md``. One reader per format, one file per family.

A reader is ``read(path, request, problems) -> Loaded | None``: it appends what is wrong to ``problems`` and goes
on, so that all of it is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionnas.data.base import Cohort
from fusionnas.data.files.arrays import read_arrays, read_npy, read_npz
from fusionnas.data.files.columns import read_csv, read_parquet
from fusionnas.data.files.events import read_events
from fusionnas.data.files.joining import join
from fusionnas.data.files.layout import named_layout
from fusionnas.data.files.loaded import Loaded, by_split, check, check_across, class_names, to_records
from fusionnas.data.files.meds import read_meds
from fusionnas.data.records import Records
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.data.files.request import Request
    from fusionnas.space import SearchSpace
    from fusionnas.space.schema import Files

READERS: dict[str, Callable[[Path, Request, list[str]], Loaded | None]] = {
    "npz": read_npz,
    "npy": read_npy,
    "csv": read_csv,
    "parquet": read_parquet,
    "events": read_events,
    "meds": read_meds,
}

__all__ = ["READERS", "array_records", "load_files", "named_layout"]


def load_files(files: Files, space: SearchSpace, folder: Path, *, labelled: bool = True) -> Cohort:
    """Read all parts.

    Args:
        files: the ``data`` section of a space.
        space: what is needed of the files.
        folder: what relative paths are relative to.
        labelled: labels must be there.

    Raises:
        DataError: with everything that is wrong with the files.
    """
    from fusionnas.data.files.request import Request

    request = Request.of(space.file, files, labelled=labelled)
    problems: list[str] = []
    parts: dict[str, Loaded] = {}
    for name in ("train", "alpha", "select", "test"):
        given = getattr(files, name)
        if given is None:
            continue
        mine: list[str] = []
        part = READERS[files.format](folder / given, request, mine)
        if part is not None and not mine:
            check(part, files.target, mine)
            parts[name] = part
        problems += mine
    if list(parts) == ["train"] and parts["train"].split is not None:
        parts = by_split(parts["train"], files.split or "split", problems, labelled=labelled)
    check_across(parts, problems)
    if problems:
        raise DataError("the data files cannot be used", list(dict.fromkeys(problems)))
    return _cohort(files, parts)


def array_records(arrays: Mapping[str, Any], space: SearchSpace) -> Records:
    """Arrays in memory, by name as in an npz file, as unlabelled samples.

    Raises:
        DataError: with everything that is wrong with them.
    """
    from fusionnas.data.files.request import Request
    from fusionnas.space.schema import Files

    request = Request.of(space.file, Files(format="npz", train="arrays", target="label"), labelled=False)
    problems: list[str] = []
    part = read_arrays({name: array for name, array in arrays.items() if name != "label"}, request, problems)
    if part is not None and not problems:
        check(part, "label", problems)
    if part is None or problems:
        raise DataError("the arrays cannot be used", problems)
    return to_records(part, ())


def _cohort(files: Files, parts: dict[str, Loaded]) -> Cohort:
    classes = class_names(parts)
    records = {name: to_records(part, classes) for name, part in parts.items()}
    test = records.pop("test", None)
    ends = np.cumsum([0, *(len(part) for part in records.values())])
    fixed = {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(records)} if len(records) > 1 else {}
    notes = [note for part in parts.values() for note in part.notes] + _unseen(records["train"], classes)
    description = {
        "source": files.format,
        "files": {name: part.path.name for name, part in parts.items()},
        "notes": notes,
    }
    return Cohort(join(list(records.values())), test, fixed, description, {})


def _unseen(train: Records, classes: tuple[str, ...]) -> list[str]:
    """Labels that no training sample has."""
    if train.target is None:
        return []
    missing = [name for i, name in enumerate(classes) if not (train.target == i).any()]
    return [f"label '{name}' has no sample in the train part" for name in missing]
