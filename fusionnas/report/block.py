"""What a page consists of: blocks with a heading, sentences, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure as Drawn

from fusionnas.diagnostics.chart import Chart
from fusionnas.report.drawing import draw, in_words
from fusionnas.run.files import csv_text
from fusionnas.show.svg import described, inside_page, rendered

Row = Mapping[str, Any]
MOST_ROWS = 60  # of a table on the page; its CSV has all


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes:
        key: unique in the page; the name of its files.
        title: above it.
        words: what it shows, for those who do not see it.
        svg: a file of its own.
        inline: the same inside the page.
        rows: its numbers; empty where it has none.
        wide: whether it takes the whole width.
    """

    key: str
    title: str
    words: str
    svg: str
    inline: str
    rows: Sequence[Row]
    wide: bool = False

    @property
    def csv(self) -> str:
        """Its numbers as the text of a CSV file."""
        return csv_text(self.rows) if self.rows else ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: its caption.
        rows: of equal keys; at least one.
        open: whether it is shown at once, or when asked for.
    """

    title: str
    rows: Sequence[Row]
    open: bool = True

    @property
    def shown(self) -> Sequence[Row]:
        """The rows on the page."""
        return self.rows[:MOST_ROWS]

    @property
    def csv(self) -> str:
        """All rows as the text of a CSV file."""
        return csv_text(self.rows)


@dataclass(frozen=True)
class Block:
    """A part of the page.

    Attributes:
        heading: of the part.
        text: sentences before the figures, each a paragraph.
        figures, tables: in order.
        code: preformatted texts by caption.
        small: remarks after all, in small print.
    """

    heading: str
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    small: Sequence[str] = ()


def figure_of(chart: Chart, key: str) -> Figure:
    """A chart, drawn."""
    return figure_from(draw(chart), key, chart.title, in_words(chart), chart.rows())


def figure_from(
    drawn: Drawn, key: str, title: str, words: str, rows: Sequence[Row] = (), *, wide: bool = False
) -> Figure:
    """A matplotlib figure, as a file and inside the page."""
    svg = rendered(drawn, "svg", text=True).decode()
    return Figure(key, title, words, described(svg, title, words), inside_page(svg, key, words), rows, wide)
