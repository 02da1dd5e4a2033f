"""Arrays as raw inputs, shape and type checked against the kind that the space says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.files.request import Input
from fusionnas.data.files.words import table_of_texts, tokenize
from fusionnas.data.raw import Grid, Raw, Series, Table, Tokens

Array: TypeAlias = NDArray[Any]

SHAPES = {
    "vector": "(N, D) numbers",
    "tabular": "(N, C) numbers or texts",
    "timeseries": "(N, T, V) numbers, NaN = not observed",
    "codes": "(N, T) whole numbers, 0 = padding",
    "text": "(N,) texts, or (N, T) whole numbers, 0 = padding",
    "image": "(N, H, W) or (N, C, H, W) numbers",
    "audio": "(N, T, F) numbers",
}
_DIMENSIONS = {
    "vector": (2,),
    "tabular": (2,),
    "timeseries": (3,),
    "codes": (2,),
    "text": (1, 2),
    "image": (3, 4),
    "audio": (3,),
}


class ArrayReader:
    """Turns the arrays of one file or folder into raw inputs.

    Args:
        path: where the arrays come from, for messages.
        arrays: by name.
        problems: what is wrong is appended here.
    """

    def __init__(self, path: Path, arrays: Mapping[str, Array], problems: list[str]) -> None:
        self.path, self.arrays, self.problems = path, arrays, problems

    def read(self, name: str, wanted: Input) -> Raw | None:
        """The array ``name`` as an input, None if it is not what is wanted."""
        array = self.arrays[name]
        if self._misfit(name, array, wanted) or self._infinite(name, array):
            return None
        if wanted.kind in ("vector", "tabular"):
            return _table(array, wanted)
        if wanted.kind in ("codes", "text"):
            if array.dtype.kind == "U":
                return Tokens.of([tokenize(text) for text in array.tolist()])
            return Tokens.from_dense(array)
        values = self._masked(name, array)
        if values is None:
            return None
        if wanted.kind == "timeseries":
            return self._series(name, values, wanted)
        return Grid((values[:, None] if wanted.kind == "image" and array.ndim == 3 else values).astype(np.float32))

    def texts(self, name: str) -> list[str] | None:
        """Labels, groups or names, (N,), as texts; whole floats read like whole numbers."""
        array = self.arrays[name]
        if array.ndim != 1:
            self._tell(name, f"has shape {array.shape}, expected (N,)")
            return None
        if array.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(array))
            if not len(bad):
                bad = np.flatnonzero(array != np.floor(array))
            if len(bad):
                what = f"{array[bad[0]]} is no label or name ({len(bad)} such rows)"
                self._tell(name, f"row {bad[0]}: {what}; expected texts or whole numbers")
                return None
            return [f"{value:.12g}" for value in array.tolist()]
        return [str(value) for value in (array.astype(np.int64) if array.dtype.kind == "b" else array).tolist()]

    def _tell(self, name: str, message: str) -> None:
        self.problems.append(f"{self.path}: array '{name}' {message}")

    def _misfit(self, name: str, array: Array, wanted: Input) -> bool:
        """Whether shape or type are wrong for the kind."""
        kind, texts = wanted.kind, array.dtype.kind == "U"
        wrong = array.ndim not in _DIMENSIONS[kind] or 0 in array.shape
        wrong |= texts and kind not in ("text", "tabular")
        wrong |= kind == "text" and texts != (array.ndim == 1)
        wrong |= kind in ("codes", "text") and not texts and array.dtype.kind not in "iu"
        if wrong:
            empty = "; it is empty" if 0 in array.shape else ""
            given = f"has shape {array.shape} and dtype {array.dtype}{empty}"
            self._tell(name, f"{given}, expected {SHAPES[kind]} for kind {kind}")
            return True
        named = wanted.columns is not None and kind in ("vector", "tabular", "timeseries")
        if named and len(wanted.columns or ()) != array.shape[-1]:
            self._tell(
                name, f"has {array.shape[-1]} columns, the space names {len(wanted.columns or ())} under columns"
            )
            return True
        return False

    def _infinite(self, name: str, array: Array) -> bool:
        if array.dtype.kind != "f" or not np.isinf(array).any():
            return False
        row, *rest = (int(i) for i in np.argwhere(np.isinf(array))[0])
        place = f"row {row}, column {', '.join(map(str, rest))}"
        self._tell(name, f"{place}: infinite ({int(np.isinf(array).sum())} such values); NaN means missing")
        return True

    def _masked(self, name: str, array: Array) -> Array | None:
        """Numbers, NaN wherever ``NAME_mask`` is False."""
        values: Array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
        mask = self.arrays.get(f"{name}_mask")
        if mask is None:
            return values
        if mask.shape not in (array.shape, array.shape[:2], array.shape[:1]) or mask.dtype.kind not in "biu":
            given = f"has shape {mask.shape} and dtype {mask.dtype}"
            shapes = f"{array.shape}, {array.shape[:2]} or {array.shape[:1]}"
            self._tell(f"{name}_mask", f"{given}, expected {shapes} of True (real) and False")
            return None
        wide = mask.astype(bool).reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
        return np.where(wide, values, np.nan).astype(values.dtype)

    def _series(self, name: str, values: Array, wanted: Input) -> Series | None:
        times = self.arrays.get(f"{name}_times")
        if times is not None:
            fits = times.shape == values.shape[:2] and times.dtype.kind in "iuf"
            if not fits or (times < 0).any() or np.isinf(times).any():
                given = f"has shape {times.shape} and dtype {times.dtype}"
                self._tell(f"{name}_times", f"{given}, expected {values.shape[:2]} finite numbers >= 0, NaN = padding")
                return None
            times = times.astype(np.float64)
        return Series.from_dense(values, times, variables=wanted.columns)


def _table(array: Array, wanted: Input) -> Table:
    names = wanted.columns or tuple(str(i) for i in range(array.shape[1]))
    if array.dtype.kind == "U":
        columns = {column: array[:, i].tolist() for i, column in enumerate(names)}
        return table_of_texts(columns, wanted.categorical)
    return Table(names, array.astype(np.float64))
