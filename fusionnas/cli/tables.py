"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table; columns named in ``right`` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """On stdout; in a pipe as wide as it needs to be, so that nothing is cut."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.measure(table).maximum, 80))
    console.print(table)


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys."""
    if not rows:
        print("nothing")
        return
    numbers = [key for key, value in rows[0].items() if isinstance(value, (int, float))]
    table = new_table(*rows[0], right=numbers)
    for row in rows:
        table.add_row(*(Text(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row.values()))
    print_table(table)
