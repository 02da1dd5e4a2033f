"""Writing files so that a power cut, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fusionnas.errors import DiskError, InputError, RunError
from fusionnas.run.plain import json_bytes

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}


def sha256(data: bytes) -> str:
    """Content hash, as it stands in the journal."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: after any interruption it holds all of the old or all of the new bytes.

    Raises:
        DiskError: the disk is full. RunError: the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def check_writable(path: Path) -> None:
    """Fail before long work, not after it, where a file at ``path`` cannot be written; makes its folder.

    Raises:
        InputError: it is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give a file, such as {path / 'table.csv'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another file") from error


def write_json(path: Path, data: Any) -> None:
    """``write_atomic`` of a JSON file; NaN and the infinities are written as null."""
    write_atomic(path, json_bytes(data))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """``write_atomic`` of rows of equal keys as a CSV file."""
    write_atomic(path, csv_text(rows).encode())


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys, at least one, as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def intact(path: Path, digest: str) -> bool:
    """Whether ``path`` is there and its content has this hash."""
    try:
        return sha256(path.read_bytes()) == digest
    except OSError:
        return False


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into a DiskError or a RunError: what is kept and what to do."""
    try:
        yield
    except OSError as error:
        cause = _FULL.get(error.errno or 0)
        if cause is None:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error
        raise DiskError(
            f"cannot write {path}: {cause}\n  all that was journaled before is kept, nothing is damaged; free some "
            "space, then run `fusionnas resume RUN` (RUN: the run's folder): it goes on from there"
        ) from error
