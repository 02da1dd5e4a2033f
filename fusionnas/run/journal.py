"""The journal: one JSON line per decision and result, appended and synced; the only truth for resume.

Every line carries its number (``seq``) and a CRC-32 of the rest of the line. What follows the last good line,
such as the torn line of a killed process, is dropped when the journal is read and cut off before the next
line is appended. A bad line with good lines after it is damage from outside, and an error.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from fusionnas.errors import RunError
from fusionnas.run.files import explained, write_atomic
from fusionnas.run.plain import from_plain, to_plain

_CRC = re.compile(rb', "crc": "([0-9a-f]{8})"}\Z')


class Journal:
    """An open journal file.

    Units of work, of which there may be very many, stay on the disk: only where they are is remembered.

    Attributes:
        events: the good lines that are no unit, as plain data.
        units: the name of every unit that has a line, oldest first, and where its last line begins.
        dropped: what was dropped from the end when it was read, one line; else empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []
        self.units: dict[str, int] = {}
        self._length = self._count = 0
        with _readable(path) as file:
            self.dropped = "" if file is None else self._read(file)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All good lines, as plain data, read from the disk."""
        with _readable(self.path) as file:
            lines = [] if file is None else file.read(self._length).splitlines(keepends=True)
        return [entry for line in lines if (entry := _parse(line)) is not None]

    def unit(self, name: str) -> dict[str, Any] | None:
        """The line of a unit; None where there is none.

        Raises:
            RunError: it is not what it was when the journal was read.
        """
        if name not in self.units:
            return None
        with _readable(self.path) as file:
            if file is not None:
                file.seek(self.units[name])
                entry = _parse(file.readline())
                if entry is not None and entry.get("unit") == name:
                    return entry
        raise RunError(f"{self.path} was changed while this process worked on it; run `fusionnas resume` again")

    def append(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write one line and sync it to the disk; returns it as it will be read.

        Raises:
            DiskError: the disk is full; the journal is then as it was before.
            TypeError: ``facts`` holds something that JSON does not have.
        """
        entry = {"seq": self._count, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **facts}
        body = json.dumps(to_plain(entry), allow_nan=False).encode()
        line = body[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(body)
        if self._length == 0:
            # A journal begins with its first line or not at all.
            write_atomic(self.path, line)
        else:
            with explained(self.path):
                self._write(line)
        settled = from_plain(json.loads(body))
        assert isinstance(settled, dict)
        self._remember(settled, len(line))
        return settled

    def _remember(self, entry: dict[str, Any], length: int) -> None:
        if "unit" in entry:
            self.units[entry["unit"]] = self._length
        else:
            self.events.append(entry)
        self._count += 1
        self._length += length

    def _read(self, file: BinaryIO) -> str:
        """Remember the good lines; what was dropped after them."""
        bad = 0
        for number, line in enumerate(file, start=1):
            entry = _parse(line)
            if entry is None or entry.get("seq") != self._count:
                bad = bad or number
                if entry is not None:
                    raise RunError(
                        f"{self.path}:{bad}: the journal is damaged in the middle",
                        ["the lines from there on cannot be trusted; restore the file from a backup, or delete line "
                         f"{bad} and all after it: `fusionnas resume` then does that part of the work again"],
                    )
            elif not bad:
                self._remember(entry, len(line))
        file.seek(self._length)
        return _describe(file.read(), self.path)

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, self._length)
            os.lseek(descriptor, self._length, os.SEEK_SET)
            rest = line
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, self._length)
            raise
        finally:
            os.close(descriptor)


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO | None]:
    """The open file; None where there is none."""
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        yield None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def _parse(line: bytes) -> dict[str, Any] | None:
    crc = _CRC.search(line[:-1])
    if crc is None or not line.endswith(b"\n"):
        return None
    body = line[: crc.start()] + b"}"
    if zlib.crc32(body) != int(crc[1], 16):
        return None
    entry = from_plain(json.loads(body))
    assert isinstance(entry, dict)
    return entry


def _describe(rest: bytes, path: Path) -> str:
    if not rest:
        return ""
    start = rest[:60].decode("ascii", "backslashreplace").rstrip("\n")
    lines = len(rest.splitlines())
    what = "its last line is" if lines == 1 else f"its last {lines} lines are"
    return (
        f"{path}: {what} incomplete or damaged; dropped {len(rest)} bytes, beginning {start!r}; "
        "that part of the work is done again"
    )
