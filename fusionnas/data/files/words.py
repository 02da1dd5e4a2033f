"""Texts as columns and as words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusionnas.data.raw import Table
from fusionnas.data.tables import is_missing, is_numeric, to_floats

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_CODE = re.compile(r"[\s;|]+")


def tokenize(text: str) -> list[str]:
    """Words of a text in lower case; punctuation is dropped."""
    return _WORD.findall(text.lower())


def split_codes(text: str) -> list[str]:
    """Codes of one field, separated by blanks, ';' or '|'."""
    return [] if is_missing(text) else [code for code in _CODE.split(text.strip()) if code]


def table_of_texts(columns: Mapping[str, Sequence[str]], categorical: Sequence[str]) -> Table:
    """Columns of which every field is a number, or missing, as numbers; others, and ``categorical``, as categories."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        if name not in categorical and is_numeric(column):
            arrays[name] = to_floats(column)
        else:
            arrays[name] = np.array(["" if is_missing(text) else text.strip() for text in column], dtype=np.str_)
    return Table.of(arrays)
