"""What one unit of work computed, and the state that it saves on its way."""

from __future__ import annotations

import io
import pickle
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionnas.device import on_cpu
from fusionnas.errors import Stopped
from fusionnas.run.files import sha256, write_atomic
from fusionnas.run.plain import from_plain, to_plain
from fusionnas.stopping import stop_asked

_PLAIN = (type(None), bool, int, float, str, bytes)


@dataclass(frozen=True)
class Result:
    """What a unit gives: facts for the journal and tensors for a file.

    Attributes:
        facts: JSON data; floats keep every bit.
        tensors: any tensors by name.
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def settled(self, where: str) -> Result:
        """The same, in the very form in which it is read back later: plain JSON types, own CPU memory, sorted names.

        A resumed run then continues from equal objects, not merely from similar ones.
        """
        facts = from_plain(to_plain(self.facts, where))
        tensors = {name: self.tensors[name].detach().cpu().contiguous().clone() for name in sorted(self.tensors)}
        return Result(facts, tensors)


class Checkpoint:
    """The state of one unit of long work; saved under way, loaded when the unit is computed again.

    Args:
        folder: where the unit's state lies; None: nowhere, nothing is saved.
        every: seconds between saves, as told by ``due``.
        run: folder of the run, which may be asked to stop.
    """

    def __init__(self, folder: Path | None, every: float, run: Path | None = None) -> None:
        self._folder = folder
        self._run = run
        self._every = every
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save, or the run is asked to stop. Time decides only this, never a result."""
        return self._folder is not None and (self._stopping() or time.monotonic() - self._last >= self._every)

    def save(self, state: Mapping[str, Any]) -> None:
        """Save plain types and tensors, atomically, with the content's hash in the file's name.

        Raises:
            TypeError: ``state`` holds something that ``torch.load(weights_only=True)`` refuses.
            DiskError: the disk is full; the state saved before is kept.
            Stopped: the state is saved, and the run is asked to stop.
        """
        _check_plain(state, "state")
        if self._folder is None:
            return
        buffer = io.BytesIO()
        torch.save(on_cpu(dict(state)), buffer)
        data = buffer.getvalue()
        saved = self._saved()
        number = int(saved[-1].name.split("-")[0]) + 1 if saved else 0
        write_atomic(self._folder / f"{number:09d}-{sha256(data)}.pt", data)
        for old in saved:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()
        if self._stopping():
            raise Stopped

    def load(self) -> dict[str, Any] | None:
        """The last state saved; None at a fresh start or when no saved state is intact."""
        for path in reversed(self._saved()):
            data = path.read_bytes()
            if path.name.split("-")[1] == f"{sha256(data)}.pt" and (state := _plain(data)) is not None:
                return state
        return None

    def clear(self) -> None:
        """Remove what was saved: the unit is done."""
        if self._folder is not None:
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder)

    def _stopping(self) -> bool:
        return self._run is not None and stop_asked(self._run)

    def _saved(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.glob("?????????-*.pt"))


def _plain(data: bytes) -> dict[str, Any] | None:
    """The state in a file; None where somebody put something else there: nothing in it is ever executed."""
    try:
        state = torch.load(io.BytesIO(data), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        return None
    return state if isinstance(state, dict) else None


def _check_plain(value: Any, where: str) -> None:
    if type(value) in _PLAIN or isinstance(value, Tensor):
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(key, f"{where}: key {key!r}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple, set):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    else:
        raise TypeError(f"{where} is {type(value).__name__}; a checkpoint holds plain types and tensors only")
