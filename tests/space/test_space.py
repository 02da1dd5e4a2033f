"""What a space says about itself, and architectures built over it."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace

GOLDEN = Path(__file__).parents[1] / "golden"
S0, S1, V0, V1, V2 = (
    Point(n, level) for n, level in [("static", 0), ("static", 1), *(("vitals", i) for i in range(3))]
)


def golden_space() -> SearchSpace:
    return SearchSpace.load(GOLDEN / "space.yaml")


def test_points_come_in_declared_order(space):
    assert space.points() == (S0, S1, V0, V1, V2)
    assert space.sources(2) == (S0, S1, V0, V1, V2, NodeRef(0), NodeRef(1))


def test_views_of_one_input_are_one_modality():
    space = golden_space()
    assert space.groups() == {"static": ("static",), "vitals": ("vitals", "vitals_summary")}
    assert space.source_of("vitals_summary") == "vitals"


def test_layer_choices(space):
    assert space.layer_choices() == {"static": (("mlp",),), "vitals": (("gru", "tcn"), ("gru", "tcn"))}


def test_summary(space):
    assert space.summary == (
        "base: 2 modalities (static, vitals)\n"
        f"5 fusion points, up to 2 nodes of 2 to 3 inputs, 3 operators, {space.size():,} architectures"
    )
    assert golden_space().summary.startswith("golden: 2 modalities (static, vitals) in 3 views\n")


def test_an_architecture_is_canonical(space):
    built = space.architecture(
        [Node((V1, S0), "additive"), Node((NodeRef(0), V0), "gated")], layers={"vitals": ["tcn", "gru"]}
    )
    assert built == Architecture(
        layers=(("static", ()), ("vitals", ("tcn",))),
        nodes=(Node((S0, V1), "additive"), Node((V0, NodeRef(0)), "gated")),
        output=NodeRef(1),
    )
    assert space.contains(built)


def test_order_stays_where_it_matters(space):
    built = space.architecture([Node((V2, S0), "cross_attention")])
    assert built.nodes[0].inputs == (V2, S0)
    assert built != space.architecture([Node((S0, V2), "cross_attention")])


def test_layers_default_to_the_first_encoder(space):
    assert space.architecture([], V2).layers == (("vitals", ("gru", "gru")),)


def test_references_outside_the_limits_can_be_built_but_are_not_in_the_space(space):
    late = space.architecture([Node((S0, S1, V0, V1, V2), "mlp")])
    assert space.problems(late) == [
        "nodes[0].operator: 'mlp' is not in this space (known: additive, gated, cross_attention)"
    ]
    many = space.architecture([Node((S0, S1, V0, V1), "gated")])
    assert space.problems(many) == ["nodes[0].inputs: given 4, 'gated' takes 2..3 in this space"]


@pytest.mark.parametrize(
    ("nodes", "output", "layers", "message"),
    [
        ([], None, None, "output: needed where there is no node"),
        ([], NodeRef(0), None, r"output: #0 is not an earlier node \(0 come before\)"),
        ([], Point("vitals", 3), None, r"output: vitals has the levels 0..2, given 3"),
        ([], Point("vitls", 0), None, r"output: 'vitls' is no modality of this space \(did you mean 'vitals'\?\)"),
        (
            [],
            V1,
            {"vitals": ["grru"]},
            r"modalities.vitals.layers\[0\]: 'grru' is not an encoder of it \(did you mean 'gru'\?\)",
        ),
        ([], V2, {"vitals": ["gru"]}, "modalities.vitals.layers: given 1, level 2 is in use"),
        (
            [Node((S0, V0), "gatd")],
            None,
            None,
            r"nodes\[0\].operator: 'gatd' is not a fusion operator \(did you mean 'gated'\?\)",
        ),
        ([Node((S0, NodeRef(0)), "mlp")], None, None, r"nodes\[0\].inputs\[1\]: #0 is not an earlier node"),
        ([Node((S0, S0), "mlp")], None, None, r"nodes\[0\].inputs\[1\]: static.0 is read twice by this node"),
        ([Node((S0,), "mlp")], None, None, r"nodes\[0\].inputs: a node reads at least 2, given 1"),
        ([Node((S0, V0), "mlp")], V0, None, "output: given vitals.0, expected the last node, #0"),
        (
            [Node((S0, V0), "mlp"), Node((S0, V1), "mlp")],
            None,
            None,
            r"nodes\[0\]: no later node reads it; leave it out, or read #0",
        ),
    ],
)
def test_what_is_no_architecture(space, nodes, output, layers, message):
    with pytest.raises(SpaceError, match=f"not an architecture over the space 'base'\n  {message}"):
        space.architecture(nodes, output, layers)


@pytest.mark.parametrize(
    ("layers", "nodes", "output", "message"),
    [
        ((("vitals", ("gru",)),), (), V0, "modalities.vitals.layers: given 1, the deepest level in use is 0"),
        ((("static", ()), ("vitals", ())), (), V0, "modalities.static: nothing reads it; leave it out"),
        ((), (), V0, "modalities.vitals: is read, but its layers are not given"),
        ((("labs", ()), ("vitals", ())), (), V0, "modalities.labs: no modality of this space (known: static, vitals)"),
        (
            (("vitals", ("mlp",)),),
            (),
            V1,
            "modalities.vitals.layers[0]: 'mlp' is not an encoder of it in this space (known: gru, tcn)",
        ),
        (
            (("vitals", ()), ("static", ())),
            (Node((S0, V0), "gated"),),
            NodeRef(0),
            "modalities: expected in declared order: static, vitals",
        ),
        (
            (("static", ()), ("vitals", ())),
            (Node((V0, S0), "gated"),),
            NodeRef(0),
            "nodes[0].inputs: expected in declared order: static.0, vitals.0",
        ),
    ],
)
def test_why_an_architecture_is_not_in_the_space(space, layers, nodes, output, message):
    architecture = Architecture(layers, nodes, output)
    assert space.problems(architecture) == [message]
    assert not space.contains(architecture)


def test_too_many_nodes(space):
    chain = [Node((S0, V0), "gated"), Node((S0, NodeRef(0)), "gated"), Node((S0, NodeRef(1)), "gated")]
    assert space.problems(space.architecture(chain)) == ["nodes: given 3, the space has at most 2"]


def test_the_resolved_copy_is_as_recorded():
    assert golden_space().to_yaml() == (GOLDEN / "space_resolved.yaml").read_text()


def test_the_resolved_copy_loads_to_an_equal_space(tmp_path, base, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in (base, (GOLDEN / "space.yaml").read_text().replace("/data/", "data/")):
        space = SearchSpace.parse(text, folder=tmp_path, overrides=["training.learning_rate=1e-5"])
        again = SearchSpace.parse(space.to_yaml(), folder=Path("/elsewhere"))
        assert again == space
        assert again.to_yaml() == space.to_yaml()


def test_an_architecture_file_is_as_recorded():
    space = golden_space()
    recorded = json.loads((GOLDEN / "architecture.json").read_text())
    architecture = space.sample(random.Random(0), nodes=2)
    assert architecture.to_json() == recorded
    assert Architecture.from_json(recorded) == architecture
    assert space.contains(architecture)


def test_a_space_travels_to_other_processes(space):
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert again.size() == space.size()
    assert space != golden_space()


PLUGIN = '''
from fusionnas.operators.base import register_operator
from fusionnas.operators.additive import Additive

@register_operator("own_sum")
class OwnSum(Additive):
    """Two inputs only."""
    inputs_range = (2, 2)
'''

PROGRAM = """
import pickle, subprocess, sys
from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace
if len(sys.argv) > 1:
    print(pickle.loads(bytes.fromhex(sys.argv[1])).rules["own_sum"].most)
    sys.exit()
SearchSpace.load("space.yaml", method=False)
print([m for m in sys.modules if m.startswith("fusionnas.search")])
space = SearchSpace.load("space.yaml")
print(space.rules["own_sum"])
print(SearchSpace.parse(space.to_yaml()) == space)
sys.stdout.flush()
subprocess.run([sys.executable, __file__, pickle.dumps(space).hex()], check=True)
for plugin in ("missing.py", "broken.py", "twice.py"):
    try:
        SearchSpace.load("space.yaml", [f"plugins=[{plugin}]", "fusion.operators=[gated]"])
    except SpaceError as error:
        print(error.problems[0])
"""


def test_plug_ins_are_loaded_before_names_are_looked_up(tmp_path, base):
    # In a process of its own, since a registered name stays.
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "twice.py").write_text(PLUGIN.replace("own_sum", "gated"))
    (tmp_path / "space.yaml").write_text(base.replace("cross_attention", "own_sum") + "plugins: [own.py]\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    searched, first, equal, most, missing, broken, twice = done.stdout.splitlines()
    assert searched == "[]"
    assert first == "OperatorRule(name='own_sum', ordered=False, fewest=2, most=2, decides=False)"
    assert (equal, most) == ("True", "2")
    assert f"plugins[0]: plug-in {tmp_path}/missing.py is not a Python file" in missing
    assert f"plugins[0]: plug-in {tmp_path}/broken.py fails on import: ZeroDivisionError" in broken
    assert "plugins[0]: the fusion operator 'gated' is registered twice" in twice
