"""Formats ``npz`` (one file) and ``npy`` (a folder of files): one array per input, named like it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.files.loaded import Loaded
from fusionnas.data.files.request import Input, Request
from fusionnas.data.files.words import table_of_texts, tokenize
from fusionnas.data.raw import Grid, Raw, Series, Table, Tokens
from fusionnas.errors import did_you_mean

Array = NDArray[Any]
SHAPES = {
    "vector": "(N, D) numbers", "tabular": "(N, C) numbers or texts", "timeseries": "(N, T, V) numbers, NaN = not observed",
    "codes": "(N, T) whole numbers, 0 = padding", "text": "(N,) texts, or (N, T) whole numbers, 0 = padding",
    "image": "(N, H, W) or (N, C, H, W) numbers", "audio": "(N, T, F) numbers"}


def read_npz(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """One ``.npz`` file."""
    if not path.is_file():
        problems.append(f"{path}: no such file")
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: array for name in archive.files
                      if (array := _try(lambda name=name: archive[name], f"{path}: array '{name}'", problems)) is not None}  # type: ignore[misc]
            return _assemble(path, arrays, tuple(archive.files), request, problems)
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        problems.append(f"{path}: not a readable .npz file ({type(error).__name__}: {error})")
        return None


def read_npy(path: Path, request: Request, problems: list[str]) -> Loaded | None:
    """A folder with one ``NAME.npy`` per array."""
    if not path.is_dir():
        problems.append(f"{path}: no such folder")
        return None
    files = {file.stem: file for file in sorted(path.glob("*.npy"))}
    arrays = {name: array for name, file in files.items() if (array := _try(
        lambda file=file: np.load(file, allow_pickle=False), str(file), problems)) is not None}  # type: ignore[misc]
    return _assemble(path, arrays, tuple(files), request, problems)


def _try(load: Any, where: str, problems: list[str]) -> Array | None:
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


def _assemble(path: Path, arrays: Mapping[str, Array], listed: tuple[str, ...], request: Request,
              problems: list[str]) -> Loaded | None:
    before = len(problems)
    modalities: dict[str, Raw] = {}
    for name, wanted in request.inputs.items():
        if name not in listed:
            problems.append(f"{path}: no array '{name}' for the input '{name}'.{did_you_mean(name, listed)}")
        elif name in arrays and (raw := _to_raw(arrays, name, wanted, f"{path}: array '{name}'", problems)) is not None:
            modalities[name] = raw
    labels = _texts(arrays, request.target, listed, f"{path}: target", problems, needed=request.labelled)
    groups = _texts(arrays, request.group, listed, f"{path}: group", problems, needed=request.labelled)
    ids = _texts(arrays, request.id, listed, f"{path}: id", problems, needed=True)
    return Loaded(path, modalities, labels, ids, groups) if len(problems) == before else None


def _texts(arrays: Mapping[str, Array], name: str | None, listed: tuple[str, ...], where: str, problems: list[str], *,
           needed: bool) -> list[str] | None:
    """A 1-d array as texts; whole floats like whole numbers; NaN as missing ("")."""
    if name is None or (name not in listed and not needed):
        return None
    if name not in listed:
        problems.append(f"{where}: no array '{name}'.{did_you_mean(name, listed)}")
        return None
    array = arrays.get(name)
    if array is None:
        return None
    if array.ndim != 1:
        problems.append(f"{where} '{name}' has shape {array.shape}, expected (N,)")
        return None
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array))
        if len(bad):
            problems.append(f"{where} '{name}' row {bad[0]}: {array[bad[0]]} is no label or name ({len(bad)} such rows)")
        return [f"{value:.12g}" for value in array.tolist()]
    return [str(value) for value in (array.astype(np.int64) if array.dtype.kind == "b" else array).tolist()]


def _to_raw(arrays: Mapping[str, Array], name: str, wanted: Input, where: str, problems: list[str]) -> Raw | None:
    array = arrays[name]
    dimensions = {"vector": (2,), "tabular": (2,), "timeseries": (3,), "codes": (2,), "image": (3, 4), "audio": (3,),
                  "text": (1,) if array.dtype.kind == "U" else (2,)}[wanted.kind]
    wordy = array.dtype.kind == "U" and wanted.kind not in ("text", "tabular")
    fractions = wanted.kind in ("codes", "text") and array.dtype.kind not in "iuU"
    if array.ndim not in dimensions or wordy or fractions or 0 in array.shape:
        problems.append(f"{where} has shape {array.shape} and dtype {array.dtype}, expected {SHAPES[wanted.kind]} for kind {wanted.kind}")
        return None
    if wanted.columns is not None and wanted.kind in ("vector", "tabular", "timeseries") and len(wanted.columns) != array.shape[-1]:
        problems.append(f"{where} has {array.shape[-1]} columns, the space names {len(wanted.columns)} of them in columns")
        return None
    if array.dtype.kind == "f" and np.isinf(array).any():
        spot = tuple(int(i) for i in np.argwhere(np.isinf(array))[0])
        problems.append(f"{where} row {spot[0]}, column {', '.join(map(str, spot[1:]))}: infinite ({np.isinf(array).sum()} such values); "
                        "NaN means missing")
        return None
    return _build(arrays, name, wanted, where, problems)


def _build(arrays: Mapping[str, Array], name: str, wanted: Input, where: str, problems: list[str]) -> Raw | None:
    array, kind, columns = arrays[name], wanted.kind, wanted.columns
    if kind in ("vector", "tabular"):
        names = columns or tuple(str(i) for i in range(array.shape[1]))
        if array.dtype.kind == "U":
            return table_of_texts({column: array[:, i].tolist() for i, column in enumerate(names)}, wanted.categorical)
        return Table(names, array.astype(np.float64))
    if kind == "codes" or (kind == "text" and array.dtype.kind != "U"):
        return Tokens.from_dense(array)
    if kind == "text":
        return Tokens.of([tokenize(text) for text in array.tolist()])
    values = _masked(arrays, name, array, where, problems)
    if values is None:
        return None
    if kind == "timeseries":
        times = arrays.get(f"{name}_times")
        if times is not None and (times.shape != array.shape[:2] or times.dtype.kind not in "iuf" or (times < 0).any()):
            problems.append(f"{where.replace(name, f'{name}_times')} has shape {times.shape}, expected {array.shape[:2]} numbers >= 0")
            return None
        return Series.from_dense(values, times, variables=columns)
    if kind == "image" and array.ndim == 3:
        values = values[:, None]
    return Grid(values.astype(np.float32))


def _masked(arrays: Mapping[str, Array], name: str, array: Array, where: str, problems: list[str]) -> Array | None:
    """Numbers with NaN wherever ``NAME_mask`` is False."""
    mask = arrays.get(f"{name}_mask")
    values: Array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
    if mask is None:
        return values
    if mask.shape not in (array.shape, array.shape[:1], array.shape[:2]) or mask.dtype.kind not in "biu":
        problems.append(f"{where.replace(name, f'{name}_mask')} has shape {mask.shape} and dtype {mask.dtype}, expected "
                        f"{array.shape}, {array.shape[:2]} or {array.shape[:1]} of True (real) and False")
        return None
    wide = mask.astype(bool).reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
    return np.where(wide, values, np.nan).astype(values.dtype)
