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
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fusionnas.errors import RunError
from fusionnas.run.files import explained, write_atomic
from fusionnas.run.plain import from_plain, to_plain

_CRC = re.compile(rb', "crc": "([0-9a-f]{8})"}\Z')


class Journal:
    """An open journal file.

    Attributes:
        entries: the good lines, as plain data.
        dropped: what was dropped from the end when it was read, one line; else empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror or error}") from error
        self.entries, self._length = _read(path, data)
        self.dropped = _describe(data[self._length :], path)

    def append(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write one line and sync it to the disk; returns it as it will be read.

        Raises:
            DiskError: the disk is full; the journal is then as it was before.
            TypeError: ``facts`` holds something that JSON does not have.
        """
        entry = {"seq": len(self.entries), "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **facts}
        body = json.dumps(to_plain(entry), allow_nan=False).encode()
        line = body[:-1] + b', "crc": "%08x"}\n' % zlib.crc32(body)
        if self._length == 0:
            # A journal begins with its first line or not at all.
            write_atomic(self.path, line)
        else:
            with explained(self.path):
                self._write(line)
        self._length += len(line)
        self.entries.append(from_plain(json.loads(body)))
        return self.entries[-1]

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


def _read(path: Path, data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The good lines and their length in bytes."""
    entries: list[dict[str, Any]] = []
    length, bad = 0, 0
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        entry = _parse(line)
        if entry is None or entry.get("seq") != len(entries):
            bad = bad or number
            if entry is not None:
                raise RunError(
                    f"{path}:{bad}: the journal is damaged in the middle",
                    ["the lines from there on cannot be trusted; restore the file from a backup, or delete line "
                     f"{bad} and all after it: `fusionnas resume` then does that part of the work again"],
                )
        elif not bad:
            entries.append(entry)
            length += len(line)
    return entries, length


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
