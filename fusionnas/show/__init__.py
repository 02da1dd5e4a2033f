"""Drawing an architecture, in the terminal and as a picture; its lanes are modalities, its columns levels and nodes."""

from fusionnas.show.alternatives import Alternatives, read_alternatives
from fusionnas.show.picture import write_picture
from fusionnas.show.reading import read_architecture, read_front
from fusionnas.show.terminal import draw_terminal, terminal_lines

__all__ = [
    "Alternatives",
    "draw_terminal",
    "read_alternatives",
    "read_architecture",
    "read_front",
    "terminal_lines",
    "write_picture",
]
