"""Which layout a file or folder is in, when only its path is given (``--data``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionnas.errors import DataError
from fusionnas.space.schema import Files, SpaceFile

_SUFFIXES = {".npz": "npz", ".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
_PARTS = ("train", "alpha", "select", "test")
LAYOUTS = (
    "a file .npz, .csv, .csv.gz or .parquet; a folder with events.csv[.gz]; a folder in the MEDS layout; a folder"
    " of .npy files; or a folder whose parts are named train, alpha, select, test (files or folders; train is a "
    "must)"
)


def named_layout(path: Path, file: SpaceFile) -> Files:
    """Describe ``path`` as the space would.

    Columns for target, group and id are those of the space's own ``data`` section, if it has one; else the target
    of the task, and "id" in event tables.

    Raises:
        DataError: nothing in a known layout.
    """
    kind, parts = _find(path)
    own = file.data if isinstance(file.data, Files) else None
    about: dict[str, Any] = {
        "target": own.target if own else file.task.target,
        "group": own.group if own else None,
        "split": own.split if own and len(parts) == 1 else None,
        **({"window": own.window} if own else {}),
        "id": own.id if own else None,
        "exclude": own.exclude if own and kind in ("csv", "parquet") else {},
    }
    return Files(format=kind, **{name: str(part) for name, part in parts.items()}, **about)


def _find(path: Path) -> tuple[Any, dict[str, Path]]:
    if not path.exists():
        raise DataError("the data cannot be found", [f"{path}: no such file or folder; expected {LAYOUTS}"])
    kind = format_of(path)
    if kind:
        return kind, {"train": path}
    if path.is_dir():
        parts = {name: found for name in _PARTS if (found := _part(path, name))}
        kinds = {format_of(part) for part in parts.values()}
        if "train" in parts and len(kinds) == 1:
            return kinds.pop(), parts
    given = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing" if path.is_dir() else "a file"
    raise DataError("the data are in no known layout", [f"{path}: given {given}; expected {LAYOUTS}"])


def format_of(path: Path) -> str | None:
    """The format of one file or folder, None if it has none."""
    if path.is_file():
        return next((kind for suffix, kind in _SUFFIXES.items() if path.name.endswith(suffix)), None)
    if (path / "events.csv").is_file() or (path / "events.csv.gz").is_file():
        return "events"
    if any((path / "data").rglob("*.parquet")):
        return "meds"
    return "npy" if any(path.glob("*.npy")) else None


def _part(folder: Path, name: str) -> Path | None:
    candidates = [folder / name, *(folder / f"{name}{suffix}" for suffix in _SUFFIXES)]
    return next((path for path in candidates if path.exists() and format_of(path)), None)
