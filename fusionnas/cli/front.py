"""The front of a search with several objectives, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def print_front(front: Mapping[str, Any]) -> None:
    """What nothing beats in all objectives, the best metric first.

    Args:
        front: ``pareto`` of ``results.json``.
    """
    from rich.text import Text

    from fusionnas.cli.tables import new_table, print_table

    names = front["objectives"]
    table = new_table("front", *names, "architecture", right=names)
    for row in front["front"]:
        marks = ("found", front["found"]), ("recommended", front["recommended"])
        told = ", ".join(mark for mark, architecture in marks if architecture == row["id"])
        cells = [told, *(_value(row[name]) for name in names), row["architecture"]]
        table.add_row(*map(Text, cells), style="bold" if row["id"] == front["found"] else None)
    print_table(table)


def _value(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or float(value).is_integer() else f"{value:.4g}"
