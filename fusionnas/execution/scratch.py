"""Files that live as long as this process: if it is killed, the next one that needs some deletes them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "fusionnas-"
_PROCESSES = Path("/proc")


def scratch_folder(place: Path | None = None) -> Path:
    """A new folder, named after this process, in ``place``, by default the system's place for temporary files."""
    place = Path(tempfile.gettempdir()) if place is None else place
    sweep(place)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))


def sweep(place: Path) -> None:
    """Delete what processes that are gone have left; where the system does not say who is, nothing."""
    if not (_PROCESSES / "self").exists():
        return
    for folder in place.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not (_PROCESSES / owner).exists():
            shutil.rmtree(folder, ignore_errors=True)
