"""Forms of an exported network: every one gives what the network in memory gives, or says why it is not there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from fusionnas.architecture import Architecture, Gates, Node, NodeRef, Point
from fusionnas.errors import MissingExtraError
from fusionnas.export.capture import ExportError
from fusionnas.export.cases import cases, worst
from fusionnas.export.form import Form, forms
from fusionnas.export.forms import onnx_graph
from fusionnas.export.fresh import check, check_here
from fusionnas.export.native import write_native
from fusionnas.export.python import module_source
from fusionnas.network import FusionNetwork, build
from fusionnas.operators import operators
from tests.spaces import tiny_signature, tiny_space

SPACE = tiny_space(nodes=3, operators=tuple(operators))
FREE = SPACE.architecture([Node((Point("a", 1), Point("b", 1)), "cross_attention")], layers={"b": ("tcn", "tcn")})
CHAIN = SPACE.architecture(
    [Node((Point("a", 0), Point("c", 1)), "mlp"), Node((Point("b", 2), NodeRef(0)), "gated")],
    layers={"b": ("gru", "tcn")},
)
STAGED = replace(CHAIN, gates=Gates(stages=(("a",), ("c",), ("b",))))
EXITS = replace(CHAIN, gates=Gates(nodes=((0, Point("a", 0)), (1, NodeRef(0)))))


def network_of(architecture: Architecture, seed: int = 0) -> FusionNetwork:
    torch.manual_seed(seed)
    network = build(SPACE, architecture, tiny_signature()).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return network


def random_architecture(seed: int) -> Architecture:
    rng = random.Random(seed)
    architecture = SPACE.sample(rng)
    if seed % 2 and architecture.nodes:
        names = list(architecture.modalities)
        stages = tuple((name,) for name in names) if seed % 4 == 1 else ()
        nodes = tuple((i, rng.choice(n.inputs)) for i, n in enumerate(architecture.nodes))
        architecture = replace(architecture, gates=Gates(stages, nodes))
    return architecture


class Anything:
    """Stands where preprocessing is not needed."""

    def to_json(self) -> dict[str, object]:
        return {}


def written(form: type[Form], network: FusionNetwork, folder: Path) -> tuple[dict[str, object], float]:
    write_native(folder, network, SPACE.to_yaml(), Anything())  # type: ignore[arg-type]
    facts = form.write(folder, network)
    found = cases(network, dense=not form.routed, lengths=facts.get("lengths", ()))
    return facts, worst(check_here(form, folder / form.file, found).values())


SLOW = pytest.mark.slow
CASES = [
    pytest.param("torch", FREE, id="torch-free"),
    pytest.param("torch", STAGED, id="torch-stages", marks=SLOW),
    pytest.param("torch", EXITS, id="torch-exits", marks=SLOW),
    pytest.param("onnx", FREE, id="onnx-free", marks=SLOW),
    pytest.param("onnx", STAGED, id="onnx-stages", marks=SLOW),
    pytest.param("onnx", EXITS, id="onnx-exits", marks=SLOW),
    *(pytest.param("python", a, id=f"python-{i}") for i, a in enumerate((FREE, STAGED, EXITS))),
]


@pytest.mark.parametrize(("name", "architecture"), CASES)
def test_every_form_gives_the_same(name: str, architecture: Architecture, tmp_path: Path):
    facts, difference = written(forms[name], network_of(architecture), tmp_path)
    assert difference <= (0.0 if name == "python" else 1e-5)
    if architecture is FREE:
        assert facts["lengths"] == ["b"]
    elif name != "python":
        assert facts["lengths"] == [] and "a gru layer runs step by step" in str(facts["fixed"])
    if name == "onnx" and architecture is not FREE:
        assert facts["gates"] == "If"


def test_an_onnx_graph_is_one_file_with_named_axes_and_its_architecture_inside(tmp_path: Path):
    network = network_of(FREE)
    forms["onnx"].write(tmp_path, network)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = onnx.load(tmp_path / "model.onnx")
    axes = {one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in model.graph.input}
    assert axes["b_values"] == ["batch", "b_length", 4] and axes["a_mask"] == ["batch", 1]
    told = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "fusionnas"))
    assert Architecture.from_json(told["architecture"]) == FREE and told["inputs"] == ["a", "b"]


@pytest.mark.parametrize("seed", range(6))
def test_python_source_of_any_architecture_is_exact_and_clean(seed: int, tmp_path: Path):
    network = network_of(random_architecture(seed), seed)
    _, difference = written(forms["python"], network, tmp_path)
    assert difference == 0.0
    ruff = [sys.executable, "-m", "ruff"]
    file = str(tmp_path / "model.py")
    linted = subprocess.run([*ruff, "check", "--isolated", file], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    formatted = subprocess.run([*ruff, "format", "--isolated", "--line-length", "120", "--diff", file],
                               capture_output=True, text=True)  # fmt: skip
    assert formatted.returncode == 0, formatted.stdout


def test_a_reader_finds_the_network_in_the_source():
    text = module_source(network_of(CHAIN))
    for line in ('self.b_1 = Gru(8, INPUTS["b"])', "self.node_0 = Mlp(2, 8)", "self.node_1 = Gated(2, 8)",
                 "node_0 = self.node_0([a_0, c_1])", "node_1 = self.node_1([as_vector(b_2), node_0])"):  # fmt: skip
        assert line in text
    assert "register_operator" not in text and "count_macs" not in text and "fusionnas." not in text.split('"""', 2)[2]


@pytest.mark.parametrize("name", ["native", "python"])
def test_a_form_is_checked_in_a_process_that_knows_the_file_alone(name: str, tmp_path: Path):
    form, network = forms[name], network_of(EXITS)
    from fusionnas.data.preprocessing import Preprocessing

    fitted = Preprocessing({}, {}, {}, ("0", "1"), 1)
    write_native(tmp_path, network, SPACE.to_yaml(), fitted)
    facts = form.write(tmp_path, network)
    rows = check(form, tmp_path / form.file, cases(network, dense=False, lengths=facts.get("lengths", ())))
    assert set(rows) >= {"1", "2", "33"} and worst(rows.values()) == 0.0
    assert all(row["ms"] > 0 and row["eager_ms"] > 0 for row in rows.values())


def test_a_damaged_form_says_what_is_wrong(tmp_path: Path):
    network = network_of(FREE)
    forms["python"].write(tmp_path, network)
    with pytest.raises(ExportError, match=r"model.py does not run .*: FileNotFoundError: .*safetensors"):
        check(forms["python"], tmp_path / "model.py", cases(network, dense=False))


def test_a_missing_package_is_told_with_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_graph, "PACKAGES", ("onnx", "onnx_that_nobody_has"))
    with pytest.raises(MissingExtraError, match=r"needs onnx_that_nobody_has\n  pip install \"fusionnas\[onnx\]\""):
        forms["onnx"].write(tmp_path, network_of(FREE))


def test_tied_tensors_are_written_and_read(tmp_path: Path):
    network = network_of(CHAIN)
    network.encoders["b"].layers[1]["tcn"].far.bias = network.encoders["b"].layers[1]["tcn"].near.bias
    write_native(tmp_path, network, SPACE.to_yaml(), Anything())  # type: ignore[arg-type]
    other = network_of(CHAIN, seed=1)
    from safetensors.torch import load_file

    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.encoders["b"].layers[1]["tcn"].far.bias, network.encoders["b"].layers[1]["tcn"].near.bias)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["python", "onnx"])
@pytest.mark.parametrize("name", [name for name in operators if operators[name].fixed_length] + ["mcb"])
def test_operators_that_go_step_by_step_or_through_spectra_can_be_exported(name: str, form: str, tmp_path: Path):
    node = Node((Point("b", 2), Point("a", 1)), name)
    architecture = SPACE.architecture([node], layers={"b": ("tcn", "tcn")})
    facts, difference = written(forms[form], network_of(architecture), tmp_path)
    assert difference <= 1e-5
    fixed = form == "onnx" and operators[name].fixed_length
    assert facts["fixed"] == ({"b": operators[name].fixed_length} if fixed else {})
