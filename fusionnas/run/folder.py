"""The folder of a run: claiming one, and reading the files in it with their hashes checked."""

from __future__ import annotations

import re
from pathlib import Path

from fusionnas.errors import RunError
from fusionnas.run.files import explained, intact
from fusionnas.run.journal import Journal

# What a run that was stopped before it began may have left.
_OWN = {"space.yaml", "environment.json", "lock", "checkpoints"}


def read_file(path: Path, name: str) -> bytes:
    """A file that a run wrote, checked against the hash in its journal. Needs no lock and no right to write.

    Raises:
        RunError: no run, the file was not written yet, is missing or was changed.
    """
    if not (path / "journal.jsonl").is_file():
        raise RunError(no_run(path))
    digest = written(Journal(path / "journal.jsonl")).get(name)
    if digest is None:
        raise RunError(f"{path} has no {name} yet: the run has not come that far; `fusionnas resume {path}` goes on")
    if not intact(path / name, digest):
        raise RunError(f"{path / name} is missing or was changed since; `fusionnas resume {path}` writes it again")
    return (path / name).read_bytes()


def next_free(name: str) -> Path:
    """A new folder ``runs/<name>-0001``, with the next free number."""
    folder = Path("runs")
    with explained(folder):
        folder.mkdir(exist_ok=True)
    taken = [re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name) for path in folder.iterdir()]
    number = max((int(found[1]) for found in taken if found), default=0) + 1
    while True:
        path = folder / f"{name}-{number:04d}"
        with explained(path):
            try:
                path.mkdir()  # Claims the number: of two processes, one succeeds.
                return path
            except FileExistsError:
                number += 1


def claimed(path: Path) -> Path:
    """``path`` as an empty folder, made where it is missing."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; a run needs a folder, choose another --run-dir")
    if (path / "journal.jsonl").exists():
        raise RunError(f"{path} holds a run; `fusionnas resume {path}` goes on with it, or choose another --run-dir")
    if path.exists() and {entry.name.removesuffix(".tmp") for entry in path.iterdir()} - _OWN:
        raise RunError(f"{path} is not empty and holds no run; choose another --run-dir")
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def no_run(path: Path) -> str:
    """Why ``path``, which has no journal, is no run."""
    if not path.is_dir():
        return f"{path} is no run: there is no such folder"
    if (path / "space.yaml").is_file() or not any(path.iterdir()):
        return f"{path} holds no run: it was stopped before it began; `fusionnas search --run-dir {path} ...` begins it"
    return f"{path} is no run: it has no journal.jsonl"


def holds_study(path: Path) -> bool:
    """Whether the run in ``path`` is a study of many searches."""
    if not (path / "journal.jsonl").is_file():
        return False
    events = Journal(path / "journal.jsonl").events
    return bool(events) and "study" in events[0].get("settings", {})


def damaged(path: Path, journal: Journal) -> list[str]:
    """The files of a run that are missing or not as they were when they were sealed."""
    return [name for name, digest in written(journal).items() if not intact(path / name, digest)]


def written(journal: Journal) -> dict[str, str]:
    """The files that a run wrote into its folder, and the hash of each."""
    return {entry["name"]: entry["sha256"] for entry in journal.events if entry.get("event") == "file"}
