"""Where registered data sets lie, and sets that are files in a layout that every user may have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.data.base import Cohort
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace
    from fusionnas.space.schema import Files


def data_folder(name: str, folder: str, how_to_get: str) -> Path:
    """``$FUSIONNAS_DATA/<folder>``.

    Raises:
        DataError: it is not there; says how to get it.
    """
    root = os.environ.get("FUSIONNAS_DATA")
    if not root:
        why = f"FUSIONNAS_DATA is not set and no --data-path is given: {how_to_get}"
    elif not (Path(root) / folder).is_dir():
        why = f"{Path(root) / folder}: no such folder (FUSIONNAS_DATA is {root}): {how_to_get}"
    else:
        return Path(root) / folder
    raise DataError(f"{name} is not at hand", [why])


def from_files(space: SearchSpace, files: Files, about: Mapping[str, Any]) -> Cohort:
    """A set whose files are in one of the user's own layouts; labels may be missing."""
    from fusionnas.data.files import load_files

    cohort = load_files(files, space, Path(), labelled=False)
    return replace(cohort, description={**cohort.description, **about})
