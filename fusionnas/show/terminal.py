"""An architecture drawn with text: lanes for modalities, one line per feature, nodes where lines join."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from fusionnas.architecture import Architecture, Node, NodeRef
from fusionnas.show.alternatives import NONE, Alternatives
from fusionnas.show.graph import Wire, color_of, rows_of


def draw_terminal(
    architecture: Architecture, console: Console | None = None, alternatives: Alternatives = NONE
) -> None:
    """Print the drawing, runner-up choices dimmed; in a terminal too narrow for it, the same as a list."""
    console = console or Console()
    lines = terminal_lines(architecture, alternatives)
    if console.is_terminal and max(line.cell_len for line in lines) > console.width:
        lines = _as_list(architecture)
    console.print(f"[bold]{architecture.id}[/bold]  ", Text(str(architecture)), sep="", highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def terminal_lines(architecture: Architecture, alternatives: Alternatives = NONE) -> list[Text]:
    """The drawing, one line per row: where lines join, a node takes them in; its name stands to the right."""
    rows = rows_of(architecture)
    lines = _lanes(architecture, rows)
    for index, node in enumerate(architecture.nodes):
        _join(lines, rows, index, node, alternatives.operators.get(index))
    for line, row in zip(lines, rows, strict=True):
        if row[-1].source == architecture.output:
            line.append("─▶ output", style="bold")
    return lines + gate_lines(architecture, alternatives) + _faint(alternatives)


def _faint(alternatives: Alternatives) -> list[Text]:
    """What is not read, and runner-up inputs, dimmed."""
    margin = max((len(name) for name in alternatives.unread), default=0) + 2
    lines = [Text(f"{name.ljust(margin)}{_chain(layers, len(layers), whole=True)} not read", style="dim")
             for name, layers in alternatives.unread.items()]  # fmt: skip
    lines += [Text(f"in #{node}, {other} instead of {source}", style="dim")
              for (node, source), other in alternatives.inputs.items()]  # fmt: skip
    if alternatives.source:
        lines.append(Text(f"runner-ups: {alternatives.source}", style="dim"))
    return lines


def gate_lines(architecture: Architecture, known: Alternatives = NONE) -> list[Text]:
    """What is decided sample by sample, and for how many; nothing where everything is always run."""
    if architecture.gates is None:
        return []
    gates, lines = architecture.gates, [Text("gates", style="bold")]
    for number, stage in enumerate(gates.stages):
        asked = "a gate asks for" if number else "always:"
        lines.append(Text(f"  {'then ' if number else ''}{asked} {', '.join(stage)}{known.share(f'stage_{number}')}"))
    for index, source in gates.nodes:
        share = known.share(f"node_{index}")
        lines.append(Text(f"  a gate that sees {source} asks for #{index}{share}, or passes {source} on"))
    return lines


def _lanes(architecture: Architecture, rows: list[list[Wire]]) -> list[Text]:
    """The part left of the nodes: name of the modality, then its levels and the encoders between them."""
    chains = dict(architecture.layers)
    margin = max(map(len, chains)) + 2
    seen: set[str] = set()
    lines = []
    for row in rows:
        source = row[0].source
        if isinstance(source, NodeRef):
            lines.append(Text(" " * margin))
            continue
        style = color_of(architecture, source.modality)
        first = source.modality not in seen
        seen.add(source.modality)
        line = Text(source.modality.ljust(margin) if first else " " * margin, style=f"bold {style}")
        line.append(_chain(chains[source.modality], source.level, whole=first), style=style)
        lines.append(line)
    _pad(lines, rows, max(line.cell_len for line in lines), -1)
    return lines


def _chain(layers: tuple[str, ...], level: int, *, whole: bool) -> str:
    """``0 ─gru─ 1 ─gru─ 2 ──`` up to ``level``; for a further level of a modality only its own end of it."""
    text = "0"
    for number, encoder in enumerate(layers[:level], start=1):
        text += f" ─{encoder}─ {number}"
    if not whole:
        text = " " * (len(text) - len(f"╰{level}")) + f"╰{level}" if level else "╰0"
    return f"{text} "


def _join(lines: list[Text], rows: list[list[Wire]], index: int, node: Node, instead: str | None) -> None:
    """Draw a node: a vertical line through the rows that it reads, its name, and its result's line."""
    _pad(lines, rows, max(line.cell_len for line in lines) + 1, index - 1)
    before = [any(wire.start < index <= wire.end for wire in row) for row in rows]
    read = [any(wire.start < index and wire.source in node.inputs for wire in row) for row in rows]
    result = next(place for place, row in enumerate(rows) if any(wire.start == index for wire in row))
    joined = [place for place, one in enumerate(read) if one or place == result]
    for place, line in enumerate(lines):
        if place == result:
            sides = ("┬", "┼", "┴") if before[place] else ("╭", "├", "╰")
            line.append(sides[(place > joined[0]) + (place == joined[-1])])
        elif read[place]:
            ends = "╮" if place == joined[0] else "╯" if place == joined[-1] else "┤"
            line.append("●" if _alive(rows[place], index) else ends)
        elif joined[0] < place < joined[-1]:
            line.append("│")
        else:
            line.append("─" if _alive(rows[place], index) else " ")
    lines[result].append(f" #{index} {node.operator} ", style="bold")
    if instead:
        lines[result].append(f"(or {instead}) ", style="dim")
    _pad(lines, rows, max(line.cell_len for line in lines), index)


def _alive(row: list[Wire], index: int) -> bool:
    """Whether the row carries something to the right of node ``index``."""
    return any(wire.start <= index < wire.end for wire in row)


def _pad(lines: list[Text], rows: list[list[Wire]], width: int, index: int) -> None:
    for line, row in zip(lines, rows, strict=True):
        line.append(("─" if _alive(row, index) else " ") * (width - line.cell_len))


def _as_list(architecture: Architecture) -> list[Text]:
    lines = [Text(f"{name}: {' ─ '.join(['0', *(f'{e} ─ {n}' for n, e in enumerate(layers, 1))])}")
             for name, layers in architecture.layers]  # fmt: skip
    lines += [Text(f"#{index} = {node}") for index, node in enumerate(architecture.nodes)]
    return [*lines, Text(f"output = {architecture.output}"), *gate_lines(architecture)]
