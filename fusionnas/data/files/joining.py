"""Parts that came as several files, as one set of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.raw import Grid, Raw, Series, Table, Tokens, as_words
from fusionnas.data.records import Records
from fusionnas.errors import DataError


def join(parts: Sequence[Records]) -> Records:
    """Samples of all parts, in order; classes are shared."""
    first = parts[0]
    if len(parts) == 1:
        return first
    modalities = {name: join_raw([part.modalities[name] for part in parts], name) for name in first.modalities}
    targets = [part.target for part in parts if part.target is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    return Records(
        modalities,
        np.concatenate(targets) if targets else None,
        np.concatenate([part.ids for part in parts]),
        np.concatenate(groups) if groups else None,
        first.classes,
    )


def join_raw(raws: Sequence[Any], name: str) -> Raw:
    """One input of several parts.

    Raises:
        DataError: the parts do not have the same columns, or not the same shape.
    """
    first = raws[0]
    if isinstance(first, Table):
        return _join_tables(raws, name)
    if isinstance(first, Series):
        return _join_series(raws)
    if isinstance(first, Tokens):
        vocabulary = tuple(dict.fromkeys(word for raw in raws for word in raw.vocabulary))
        place = {word: i for i, word in enumerate(vocabulary)}
        codes = [np.array([place[w] for w in raw.vocabulary], dtype=np.int64)[raw.codes] for raw in raws]
        return Tokens(_join_offsets([raw.offsets for raw in raws]), np.concatenate(codes), vocabulary)
    shapes = {raw.values.shape[1:] for raw in raws}
    if len(shapes) > 1:
        raise DataError("the parts differ", [f"'{name}': samples of shapes {', '.join(map(str, sorted(shapes)))}"])
    return Grid(np.concatenate([raw.values for raw in raws]))


def _join_tables(raws: Sequence[Table], name: str) -> Table:
    count = Counter(column for raw in raws for column in (*raw.names, *raw.words))
    odd = sorted(column for column, n in count.items() if n < len(raws))
    if odd:
        raise DataError("the parts differ", [f"'{name}': column '{column}' is not in every part" for column in odd])
    words = {column for raw in raws for column in raw.words}
    columns: dict[str, Any] = {}
    for column in [*raws[0].names, *raws[0].words]:
        columns[column] = np.concatenate([_column(raw, column, wordy=column in words) for raw in raws])
    return Table.of(columns, ranges=raws[0].ranges, log=raws[0].log)


def _column(table: Table, name: str, *, wordy: bool) -> NDArray[Any]:
    """One column; numbers as categories if another part has words there."""
    if name in table.words:
        return table.words[name]
    values = table.values[:, table.names.index(name)]
    return as_words(values) if wordy else values


def _join_series(raws: Sequence[Series]) -> Series:
    variables = tuple(dict.fromkeys(name for raw in raws for name in raw.variables))
    place = {name: i for i, name in enumerate(variables)}
    variable = [np.array([place[n] for n in raw.variables], dtype=np.int64)[raw.variable] for raw in raws]
    horizons = [raw.horizon for raw in raws if raw.horizon is not None]
    return Series(
        variables,
        _join_offsets([raw.offsets for raw in raws]),
        np.concatenate([raw.times for raw in raws]),
        np.concatenate(variable),
        np.concatenate([raw.values for raw in raws]),
        max(horizons) if horizons else None,
        raws[0].ranges,
        raws[0].log,
    )


def _join_offsets(parts: Sequence[Any]) -> Any:
    counts = np.concatenate([np.diff(offsets) for offsets in parts])
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
