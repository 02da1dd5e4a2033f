from __future__ import annotations

import io
import random
from dataclasses import replace

import pytest
from rich.console import Console

from fusionnas.architecture import Architecture, Gates, Node, NodeRef, Point
from fusionnas.show import Alternatives, draw_terminal, terminal_lines
from fusionnas.show.terminal import gate_lines
from fusionnas.space import SearchSpace

P, N = Point, NodeRef
TWO = Architecture(
    (("vitals", ("gru", "gru")), ("labs", ("gru",))), (Node((P("vitals", 2), P("labs", 1)), "low_rank_tensor"),), N(0)
)
REUSED = Architecture(
    (("static", ()), ("vitals", ("gru", "tcn")), ("labs", ("tcn", "gru")), ("notes", ("attention",))),
    (
        Node((P("vitals", 0), P("labs", 2)), "cross_attention"),
        Node((P("static", 0), P("vitals", 2), P("labs", 2)), "additive"),
        Node((N(0), N(1), P("notes", 1)), "modality_shift"),
        Node((N(2), P("labs", 0)), "multiplicative"),
        Node((N(2), N(3)), "gated"),
    ),
    N(4),
)


def drawn(architecture: Architecture) -> str:
    return "\n".join(line.plain.rstrip() for line in terminal_lines(architecture))


def test_two_modalities_and_one_node():
    assert drawn(TWO) == (
        "vitals  0 ─gru─ 1 ─gru─ 2 ─┬ #0 low_rank_tensor ─▶ output\n"
        "labs    0 ─gru─ 1 ─────────╯"
    )  # fmt: skip


def test_gates_are_listed_below_the_drawing():
    gates = Gates((("labs",), ("vitals",)), ((0, P("labs", 1)),))
    assert drawn(replace(TWO, gates=gates)).splitlines()[2:] == [
        "gates",
        "  always: labs",
        "  then a gate asks for vitals",
        "  a gate that sees labs.1 asks for #0, or passes labs.1 on",
    ]


def test_a_run_knows_how_often_each_gate_goes_on():
    gates = Gates((("labs",), ("vitals",)), ((0, P("labs", 1)),))
    known = Alternatives(gates={"stage_1": 0.374, "node_0": 0.9})
    assert [line.plain for line in gate_lines(replace(TWO, gates=gates), known)][2:] == [
        "  then a gate asks for vitals (37%)",
        "  a gate that sees labs.1 asks for #0 (90%), or passes labs.1 on",
    ]


def test_one_modality_alone():
    assert drawn(Architecture((("labs", ("gru", "tcn")),), (), P("labs", 2))) == "labs  0 ─gru─ 1 ─tcn─ 2 ─▶ output"


def test_inner_levels_reused_features_and_crossings():
    assert drawn(REUSED) == (
        "static  0 ───────────────────────────────────────╮\n"
        "vitals  0 ─gru─ 1 ─tcn─ 2 ───────────────────────┼ #1 additive ─╮\n"
        "        ╰0 ────────────────┬ #0 cross_attention ─│──────────────┼ #2 modality_shift ─●────────────────────"
        "┬ #4 gated ─▶ output\n"
        "labs    0 ─tcn─ 1 ─gru─ 2 ─●─────────────────────╯              │                    │                    │\n"
        "        ╰0 ─────────────────────────────────────────────────────│────────────────────┴ #3 multiplicative ─╯\n"
        "notes   0 ─attention─ 1 ────────────────────────────────────────╯"
    )


@pytest.mark.parametrize("seed", range(40))
def test_every_architecture_of_a_space_can_be_drawn(seed):
    architecture = SearchSpace.load("ehr", ["fusion.nodes=4", "fusion.inputs=[2, 4]"]).sample(random.Random(seed))
    lines = drawn(architecture).splitlines()
    text = "\n".join(lines)
    assert text.count("▶ output") == 1
    for index, node in enumerate(architecture.nodes):
        assert text.count(f"#{index} {node.operator} ") == 1
    for name in architecture.modalities:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1


def test_a_narrow_terminal_gets_a_list():
    screen = io.StringIO()
    draw_terminal(REUSED, Console(file=screen, force_terminal=True, width=60, color_system=None))
    text = screen.getvalue()
    assert "vitals: 0 ─ gru ─ 1 ─ tcn ─ 2\n" in text
    assert "#4 = gated(#2, #3)\noutput = #4\n" in text


def test_a_wide_one_gets_the_drawing():
    screen = io.StringIO()
    draw_terminal(TWO, Console(file=screen, force_terminal=True, width=100, color_system=None))
    assert drawn(TWO).splitlines()[1] in screen.getvalue()
