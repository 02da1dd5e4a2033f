"""Architectures as plain data: equality, names, JSON both ways, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fusionnas.architecture import READABLE, Architecture, Gates, Node, NodeRef, Point
from fusionnas.errors import SpaceError
from fusionnas.feature import InputSpec, Signature

A0, A1, B0 = Point("a", 0), Point("a", 1), Point("b", 0)
LAYERS = (("a", ("gru",)), ("b", ()))
TWO = Architecture(LAYERS, (Node((A1, B0), "gated"), Node((A0, NodeRef(0)), "mlp")), NodeRef(1))
ALONE = Architecture((("a", ("gru",)),), (), A1)
SIGNATURE = Signature({"a": InputSpec(3, tokens=4), "b": InputSpec(0, vocabulary=9, grid=(1, 2))}, 2)


def test_text():
    assert str(TWO) == "#0 = gated(a.1, b.0); #1 = mlp(a.0, #0)"
    assert str(ALONE) == "only a.1"
    assert str(Architecture(LAYERS, TWO.nodes[:1], NodeRef(0))) == "gated(a.1, b.0)"


def test_gates_are_said():
    gates = Gates((("a",), ("b",)), ((1, NodeRef(0)),))
    assert str(replace(TWO, gates=gates)) == f"{TWO}; gates: a > b; #1 or #0"


def test_points_once_in_order_of_first_use():
    assert list(TWO.points()) == [A1, B0, A0]
    assert list(ALONE.points()) == [A1]
    assert TWO.modalities == ("a", "b")


def test_equal_choices_are_equal_whatever_the_signature():
    signed = Architecture(LAYERS, TWO.nodes, TWO.output, SIGNATURE)
    assert signed == TWO
    assert hash(signed) == hash(TWO)
    assert signed.id == TWO.id != ALONE.id


def test_the_id_is_the_same_in_every_process():
    code = "from fusionnas.architecture import *\nprint(Architecture((('a', ('gru',)),), (), Point('a', 1)).id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.strip() == ALONE.id == "fcb6a065"


@pytest.mark.parametrize("architecture", [TWO, ALONE, Architecture(LAYERS, TWO.nodes, TWO.output, SIGNATURE)])
def test_json_both_ways(architecture):
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert again.signature == architecture.signature


def test_a_person_may_leave_out_id_and_output():
    data = TWO.to_json()
    del data["id"], data["output"]
    assert Architecture.from_json(data) == TWO


GOLDEN = sorted((Path(__file__).parent / "golden").glob("architecture*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_released_schema_loads(path: Path):
    stored = json.loads(path.read_text())
    architecture = Architecture.from_json(stored)
    assert architecture.id == stored["id"]
    assert {**architecture.to_json(), "schema": stored["schema"]} == stored


def test_golden_files_of_every_schema_are_there():
    assert {json.loads(path.read_text())["schema"] for path in GOLDEN} == set(READABLE)


def edited(path: str, value: object) -> dict[str, object]:
    data = copy.deepcopy(Architecture(LAYERS, TWO.nodes, TWO.output, SIGNATURE).to_json())
    *steps, last = path.split(".")
    inner = data
    for step in steps:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[int(last) if isinstance(inner, list) else last] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "given list, expected a mapping with schema, modalities, nodes and output"),
        (edited("schema", 3), "schema: given 3, this version of fusionnas reads 1 and 2"),
        (edited("colour", 2), "colour: unknown key; known: gates, id, modalities, nodes, output, schema, signature"),
        (edited("gates", []), "gates: expected a mapping with stages and nodes"),
        (edited("gates", {"stages": [["a"]]}), r"gates.stages: given \[\['a'\]\], expected lists that hold each of a"),
        (
            edited("gates", {"nodes": [{"node": 2, "otherwise": {"node": 0}}]}),
            r"gates.nodes\[0\].node: 2 is not a node \(0..1\)",
        ),
        (
            edited("gates", {"nodes": [{"node": 0, "otherwise": {"node": 0}}]}),
            r"gates.nodes\[0\].otherwise: {'node': 0} is not an input of node 0",
        ),
        (
            edited("gates", {"nodes": [{"node": 1, "otherwise": {"node": 0}}] * 2}),
            "gates.nodes: a node is listed twice",
        ),
        (edited("nodes", {}), "modalities and nodes: needed, a mapping and a list"),
        (edited("modalities.a", ["gru"]), "modalities.a.layers: needed, a list of encoder names"),
        (edited("modalities.a.layers", [1]), "modalities.a.layers: needed, a list of encoder names"),
        (edited("nodes.0.operator", 3), r"nodes\[0\].operator: needed, an operator's name"),
        (
            edited("nodes.0.opertor", "mlp"),
            r"nodes\[0\]: known keys are inputs and operator, given inputs, operator, opertor",
        ),
        (edited("nodes.0.inputs", [{"node": 0}]), r"nodes\[0\].inputs: needed, at least two inputs"),
        (edited("nodes.0.inputs.0", {"node": 0}), r"nodes\[0\].inputs\[0\]: node 0 is not an earlier node"),
        (edited("nodes.1.inputs.1", {"node": False}), r"nodes\[1\].inputs\[1\]: node False is not an earlier node"),
        (
            edited("nodes.1.inputs.1", {"level": 0, "modality": "c"}),
            r"inputs\[1\]: modality 'c' is not listed under modalities",
        ),
        (
            edited("nodes.1.inputs.1", {"level": 0, "modality": ["a"]}),
            r"modality \['a'\] is not listed under modalities",
        ),
        (edited("nodes.1.inputs.1", {"level": 2, "modality": "a"}), r"level 2 of 'a' is not among its layers \(0..1\)"),
        (
            edited("nodes.1.inputs.1", {"level": True, "modality": "a"}),
            r"level True of 'a' is not among its layers \(0..1\)",
        ),
        (edited("nodes.1.inputs.1", "a.1"), r"given 'a.1', expected {node: i} or {modality: name, level: l}"),
        (edited("output", {"node": 2}), r"output: node 2 is not an earlier node \(0..1\)"),
        (edited("signature.outputs", "two"), "signature: expected inputs .* and outputs"),
        (edited("signature.inputs.a", {"wdth": 3}), "signature: expected inputs .* and outputs"),
    ],
)
def test_what_is_refused(data, message):
    with pytest.raises(SpaceError, match=f"the architecture is not valid\n  .*{message}"):
        Architecture.from_json(data)


def test_an_output_is_needed_without_nodes():
    data = ALONE.to_json()
    del data["output"]
    with pytest.raises(SpaceError, match="output: needed where there is no node"):
        Architecture.from_json(data)


def test_all_problems_at_once():
    data = edited("nodes.0.operator", 3)
    data["output"] = {"node": 7}
    with pytest.raises(SpaceError) as caught:
        Architecture.from_json(data)
    assert len(caught.value.problems) == 2
