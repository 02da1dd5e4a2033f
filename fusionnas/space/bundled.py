"""The search spaces that come with fusionnas, found by bare name from any folder."""

from __future__ import annotations

from pathlib import Path

import fusionnas
from fusionnas.errors import SpaceError
from fusionnas.space.places import closest


def bundled_spaces() -> dict[str, Path]:
    """File name -> path of every bundled space.

    In an installed wheel they lie in the package; in a checkout beside it, at the repository's root.
    """
    package = Path(fusionnas.__file__).parent
    for folder in (package / "search_spaces", package.parent / "search_spaces"):
        if folder.is_dir():
            return {path.name: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_space(given: str | Path) -> Path:
    """The file that ``given`` means: a file on disk, else a bundled space by name, with or without ``.yaml``.

    Raises:
        SpaceError: there is no such file; the message lists the bundled spaces.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return path
    bundled = bundled_spaces()
    for name in (str(given), f"{given}.yaml"):
        if name in bundled:
            return bundled[name]
    close = closest(Path(given).stem, [Path(name).stem for name in bundled])
    hint = f" (did you mean '{close}.yaml'?)" if close else ""
    what = "is a folder, not a space file" if path.is_dir() else "no such file"
    raise SpaceError(f"{given}: {what}{hint}; bundled spaces: {', '.join(bundled) or 'none'}")


def read_text(path: Path) -> str:
    """The text of a space file.

    Raises:
        SpaceError: it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SpaceError(
            f"{path}:{line}: not UTF-8 text (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        ) from error
