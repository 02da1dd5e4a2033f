"""The whole of ``model.py``: what it is, the operators and layers that it uses, one class, ``load``."""

from __future__ import annotations

import re
import sys
import textwrap

from fusionnas.encoders.encoder import Encoder
from fusionnas.export.python.collect import Collected
from fusionnas.export.python.gated import gate_parts, gated_lines
from fusionnas.export.python.plain import WIDTH, Names, forward_lines, spec_text
from fusionnas.feature import Feature, InputSpec, pool
from fusionnas.gates.network import GatedNetwork
from fusionnas.network import FusionNetwork, WidePath
from fusionnas.operators.base import FusionOperator
from fusionnas.version import __version__

_STANDARD = sys.stdlib_module_names

LOADING = '''
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "BOOL": torch.bool}


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name: eight bytes of header length, a JSON header, then the bytes of all tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            empty = torch.empty(0, dtype=DTYPES[entry["dtype"]])
            flat = torch.frombuffer(data[start:end], dtype=empty.dtype) if end > start else empty
            tensors[name] = flat.reshape(entry["shape"])
    return tensors


def load(path: str | Path | None = None) -> FusionNetwork:
    """The network with the weights of a file, by default ``weights.safetensors`` beside this one, in eval mode."""
    network, state = FusionNetwork(), {}
    for name, value in read_safetensors(path or Path(__file__).with_name("weights.safetensors")).items():
        part = next(part for part in PARTS if name.startswith(f"{part}."))
        state[PARTS[part] + name.removeprefix(part)] = value
    network.load_state_dict(state)
    return network.eval()
'''


def module_source(network: FusionNetwork) -> str:
    """The text of ``model.py`` for a network; its output equals the network's in eval mode to the last bit."""
    collected = Collected()
    for thing in (Feature, InputSpec, pool):
        collected.add(thing)
    names = Names(network)
    init = _init(network, names, collected)
    if isinstance(network, GatedNetwork):
        init += gate_parts(network, names, collected)
        methods = gated_lines(network, names, collected)
        collected.imports.add(("collections.abc", "Sequence", "Sequence"))
    else:
        methods = forward_lines(network, names)
    text = [_docstring(network), "from __future__ import annotations", ""]
    collected.imports |= {("json", "", "json"), ("torch", "", "torch"), ("torch", "Tensor", "Tensor"),
                          ("torch", "nn", "nn"), ("pathlib", "Path", "Path"),
                          ("collections.abc", "Mapping", "Mapping")}  # fmt: skip
    pieces = [*collected.pieces.values(), *([AS_VECTOR] if "as_vector(" in "\n".join(methods) else [])]
    code = [_separated(pieces), _tables(network, names), "\n".join(_class(network, init, methods)).rstrip()]
    body = "\n\n\n".join([*code, *LOADING.strip().split("\n\n\n")])
    return "\n".join([*text, *_import_blocks(collected.import_lines()), "", "", _without_unused(body)]) + "\n"


def _without_unused(code: str) -> str:
    """Without the methods of Feature that nothing calls."""
    for name in ("rows", "only", "absent"):
        if f".{name}(" not in code:
            code = re.sub(rf"\n    def {name}\(.*?\n(?=\n    def |\n\n\S)", "", code, count=1, flags=re.DOTALL)
    return code


AS_VECTOR = '''
def as_vector(feature: Feature) -> Feature:
    """The mean of the tokens, for operators on vectors."""
    return feature if feature.values.shape[-2] == 1 else Feature.vector(pool(feature), feature.present)
'''.strip()


def _separated(pieces: list[str]) -> str:
    """Constants right below each other, two blank lines around definitions."""
    out = ""
    for piece in pieces:
        defines = piece.startswith(("class ", "def ", "@"))
        tight = not defines and out and not out.splitlines()[-1].startswith((" ", "class ", "def "))
        out += piece if not out else f"\n{piece}" if tight else f"\n\n\n{piece}"
    return out


def _import_blocks(lines: list[str]) -> list[str]:
    """Python's own imports, then torch's and others', a blank line between."""
    own = [line for line in lines if _root(line) in _STANDARD]
    others = [line for line in lines if _root(line) not in _STANDARD]
    return [*own, "", *others]


def _root(line: str) -> str:
    return line.split()[1].split(".")[0]


def _docstring(network: FusionNetwork) -> str:
    architecture = network.architecture
    rows = []
    for name in architecture.modalities:
        spec = network.signature.inputs[name]
        ids = f"(B, {spec.tokens}) ids below {spec.vocabulary}"
        values = ids if spec.vocabulary else f"(B, {spec.tokens}, {spec.width})"
        rows.append(f"    {name}: values {values}, mask (B, {spec.tokens}), present (B,)")
    told = textwrap.wrap(f"{architecture}.", WIDTH - 4, break_long_words=False)
    outputs = "one logit, positive = the second class" if network.signature.outputs == 1 else "one logit per class"
    lines = [
        f'"""A multimodal fusion network that fusionnas {__version__} found: architecture {architecture.id}.',
        "",
        *(f"    {line}" for line in told),
        "",
        "It needs torch alone. Inputs are preprocessed samples, as Feature(values, mask, present) by modality:",
        "",
        *rows,
        "",
        "    import model",
        "    network = model.load()                  # weights.safetensors beside this file",
        "    logits = network(inputs)                # (B, C): " + outputs,
        "",
        "Dropout of the fusion head, which acts in training alone, is left out.",
        '"""',
        "",
    ]
    return "\n".join(lines)


def _init(network: FusionNetwork, names: Names, collected: Collected) -> list[str]:
    lines, width, outputs = [], network.width, network.signature.outputs
    for name, encoder in network.encoders.items():
        assert isinstance(encoder, Encoder)
        rate = f", dropout={encoder.stem.dropout.rate}" if encoder.stem.dropout.rate else ""
        stem = collected.add(type(encoder.stem))
        lines.append(f'self.{names.level(name, 0)} = {stem}(INPUTS["{name}"], {width}{rate})')
        for level, choices in enumerate(encoder.layers, start=1):
            (layer,) = choices.values()  # type: ignore[operator]
            lines.append(f'self.{names.level(name, level)} = {collected.add(type(layer))}({width}, INPUTS["{name}"])')
    for index, operator in enumerate(network.head.nodes):
        assert isinstance(operator, FusionOperator)
        kind, inputs = collected.add(type(operator)), operator.inputs
        lines.append(f"self.{names.node(index)} = {_built(kind, type(operator), inputs, width, outputs)}")
    if not network.head.decides:
        linear = collected.add(type(network.head.readout))
        lines.append(f"self.readout = {linear}({width}, {outputs})")
    for name, path in network.wide.items():
        assert isinstance(path, WidePath)
        spec = network.signature.inputs[name]
        kind = collected.add(type(path))
        lines.append(f"self.{names.wide(name)} = {kind}({spec.width}, {outputs}, {path.dropout.rate})")
    return lines


def _built(name: str, kind: type[FusionOperator], inputs: int, width: int, outputs: int) -> str:
    """The call that makes an operator."""
    return f"{name}({inputs}, {width}, {outputs})" if kind.decides else f"{name}({inputs}, {width})"


def _tables(network: FusionNetwork, names: Names) -> str:
    specs = [f'    "{name}": {spec_text(network.signature.inputs[name])},' for name in network.architecture.modalities]
    parts = [f'    "{old}": "{new}",' for old, new in names.parts()]
    return "\n".join([
        "INPUTS = {", *specs, "}", "",
        "# What a part is called in weights.safetensors, and here.", "PARTS = {", *parts, "}",
    ])  # fmt: skip


def _class(network: FusionNetwork, init: list[str], methods: list[str]) -> list[str]:
    return [
        "class FusionNetwork(nn.Module):",
        f'    """{_first_line(network)}"""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in init),
        *(f"    {line}" if line else "" for line in methods),
        "",
    ]


def _first_line(network: FusionNetwork) -> str:
    line = f"{network.architecture}."
    return line if len(line) <= WIDTH - 10 else f"Architecture {network.architecture.id}, as the module's text says."


