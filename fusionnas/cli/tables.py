"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text


class Console(RichConsole):
    """Stdout for people; a reader that has enough (head, less) is told to the caller, not a failure."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process with status 1."""
        raise BrokenPipeError


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table; columns named in ``right`` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=side, overflow="fold", no_wrap=column in right)
    return table


def print_table(table: Table) -> None:
    """On stdout; in a pipe as wide as it needs to be, so that nothing is cut."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_width(table), 80))
    console.print(table)


def print_widest(tables: Sequence[Table]) -> None:
    """The first table that fits the terminal, else the last; the first in a pipe."""
    console = Console()
    fitting = [table for table in tables if _width(table) <= console.width]
    print_table(tables[0] if not console.is_terminal else [*fitting, tables[-1]][0])


def _width(table: Table) -> int:
    """Columns that the table takes if nothing is wrapped."""
    return Console(width=10_000).measure(table).maximum


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys: a table, or one block per row where a table would be too narrow to read."""
    if not rows:
        print("nothing")
        return
    longest = max(sum(len(_cell(value)) for value in row.values()) for row in rows)
    if longest > 3 * Console().width:
        _print_blocks(rows)
        return
    numbers = [key for key in rows[0] if any(isinstance(row[key], (int, float)) for row in rows)]
    table = new_table(*rows[0], right=numbers)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    print_table(table)


def _print_blocks(rows: Sequence[Mapping[str, Any]]) -> None:
    console = Console(highlight=False)
    for row in rows:
        (_, title), *rest = row.items()
        console.print(Text(_cell(title), style="bold"))
        block = Table.grid(padding=(0, 2))
        for key, value in rest:
            block.add_row(Text(f"  {key}", style="dim"), Text(_cell(value)))
        console.print(block)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
