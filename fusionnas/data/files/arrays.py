"""Formats ``npz`` (one file) and ``npy`` (a folder of files): one array per input, named like it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusionnas.data.files.loaded import Loaded
from fusionnas.data.files.request import Request
from fusionnas.data.files.shapes import Array, ArrayReader
from fusionnas.errors import did_you_mean

Loaders = Mapping[str, Callable[[], Any]]


def read_npz(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One ``.npz`` file."""
    if not path.is_file():
        problems.append(f"{path}: no such file")
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return _assemble(path, {name: partial(archive.get, name) for name in archive.files}, request, problems)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        # What numpy takes for pickled data is no archive at all; its advice to load it unsafely must not be passed on.
        why = "no zip archive" if "pickle" in str(error) else f"{type(error).__name__}: {error}"
        problems.append(f"{path}: not a readable .npz file ({why}); write it with numpy.savez")
        return None


def read_npy(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """A folder with one ``NAME.npy`` per array."""
    if not path.is_dir():
        problems.append(f"{path}: no such folder")
        return None
    files = sorted(path.glob("*.npy"))
    return _assemble(path, {f.stem: partial(np.load, f, allow_pickle=False) for f in files}, request, problems)


def read_arrays(arrays: Mapping[str, Any], request: Request, problems: list[str]) -> Loaded | None:
    """Arrays in memory, named as in an npz file."""
    loaders = {name: partial(np.asarray, array) for name, array in arrays.items()}
    return _assemble(Path("arrays"), loaders, request, problems)


def _assemble(path: Path, loaders: Loaders, request: Request, problems: list[str]) -> Loaded | None:
    """Load what the space asks for, and nothing else."""
    beside = {role: name for role, name, must in request.beside if name and (must or name in loaders)}
    wanted = {**{name: "input" for name in request.inputs}, **{name: role for role, name in beside.items()}}
    missing = [name for name in wanted if name not in loaders]
    problems.extend(f"{path}: no {wanted[n]} array '{n}'.{did_you_mean(n, loaders)}" for n in missing)
    wanted |= {f"{name}_{extra}": extra for name in request.inputs for extra in ("times", "mask")}
    arrays = {
        name: array
        for name in wanted
        if name in loaders and (array := _load(loaders[name], f"{path}: array '{name}'", problems)) is not None
    }
    reader = ArrayReader(path, arrays, problems)
    read = {name: reader.read(name, request.inputs[name]) for name in request.inputs if name in arrays}
    texts = {role: reader.texts(name) for role, name in beside.items() if name in arrays}
    if problems:
        return None
    modalities = {name: raw for name, raw in read.items() if raw is not None}
    return Loaded.of(path, modalities, texts)


def _load(load: Callable[[], Any], where: str, problems: list[str]) -> Array | None:
    try:
        array: Array = load()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        advice = "; object arrays run code on loading: save numbers or texts" if "pickle" in str(error) else ""
        problems.append(f"{where} cannot be read ({error}){advice}")
        return None
    if array.dtype.kind not in "biufUS":
        problems.append(f"{where} has dtype {array.dtype}, expected numbers or texts")
        return None
    return array.astype(np.str_) if array.dtype.kind == "S" else array
