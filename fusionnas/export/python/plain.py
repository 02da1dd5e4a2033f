"""``forward`` of a network without gates, line by line, and what its parts are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusionnas.architecture import NodeRef, Point, Source
from fusionnas.feature import InputSpec
from fusionnas.gates.network import GatedNetwork
from fusionnas.network import FusionNetwork
from fusionnas.operators.base import FusionOperator

WIDTH = 120
"""Columns of ``model.py``."""


class Names:
    """What the parts of a network, and the features that they give, are called in ``model.py``.

    A level of a modality is ``vitals_2``, a node ``node_0``; the same word names a part and what it gives.
    """

    def __init__(self, network: FusionNetwork) -> None:
        self.network = network
        self._node = next(word for word in ("node", "fused", "fusion_node") if word not in network.encoders)
        self._gate = next(word for word in ("gate", "ask", "fusion_gate") if word not in network.encoders)
        self._pass = next(word for word in ("bypass", "around", "fusion_bypass") if word not in network.encoders)

    def level(self, modality: str, level: int) -> str:
        """A modality's stem (level 0) or encoder layer."""
        return f"{modality}_{level}"

    def node(self, index: int) -> str:
        """A fusion node."""
        return f"{self._node}_{index}"

    def wide(self, modality: str) -> str:
        """A linear path from a modality's input to the logits."""
        return f"{modality}_wide"

    def gate(self, name: str) -> str:
        """A gate, by its name in the network: ``stage_1``, ``node_0``."""
        return f"{self._gate}_{name}"

    def bypass(self, index: int) -> str:
        """The linear map around a gated node."""
        return f"{self._pass}_{index}"

    def source(self, source: Source) -> str:
        """A feature."""
        return self.node(source.node) if isinstance(source, NodeRef) else self.level(source.modality, source.level)

    def parts(self) -> Iterator[tuple[str, str]]:
        """Every part: its name in the network's state dict, and here."""
        network = self.network
        for name, layers in network.architecture.layers:
            yield f"encoders.{name}.stem", self.level(name, 0)
            for level, layer in enumerate(layers):
                yield f"encoders.{name}.layers.{level}.{layer}", self.level(name, level + 1)
        for index in range(len(network.head.nodes)):
            yield f"head.nodes.{index}", self.node(index)
        if not network.head.decides:
            yield "head.readout", "readout"
        for name in network.wide:
            yield f"wide.{name}", self.wide(name)
        if isinstance(network, GatedNetwork):
            yield from ((f"gates.{name}", self.gate(name)) for name in network.gates)
            yield from ((f"passes.node_{index}", self.bypass(index)) for index in network.otherwise)


def spec_text(spec: InputSpec) -> str:
    """An InputSpec as Python; defaults are left out."""
    default = InputSpec(spec.width)
    rest = [f"{k}={v!r}" for k, v in vars(spec).items() if k != "width" and v != getattr(default, k)]
    return f"InputSpec({', '.join([f'width={spec.width}', *rest])})"


def forward_lines(network: FusionNetwork, names: Names) -> list[str]:
    """The method ``forward``."""
    lines = ["", "def forward(self, inputs: Mapping[str, Feature]) -> Tensor:",
             '    """Preprocessed inputs by modality -> logits (B, C)."""']  # fmt: skip
    for name, layers in network.architecture.layers:
        lines += [f"    {line}" for line in encoder_lines(names, name, len(layers), f'inputs["{name}"]')]
    for index in range(len(network.architecture.nodes)):
        lines += [f"    {line}" for line in node_lines(network, names, index)]
    return [*lines, *(f"    {line}" for line in readout_lines(network, names)), "    return logits"]


def encoder_lines(names: Names, modality: str, layers: int, given: str) -> list[str]:
    """A modality's levels, one below the other."""
    found = [names.level(modality, level) for level in range(layers + 1)]
    return [f"{one} = self.{one}({before})" for one, before in zip(found, [given, *found], strict=False)]


def node_lines(network: FusionNetwork, names: Names, index: int) -> list[str]:
    """One node."""
    operator = network.head.nodes[index]
    assert isinstance(operator, FusionOperator)
    inputs = []
    for source in network.architecture.nodes[index].inputs:
        name = names.source(source)
        inputs.append(f"as_vector({name})" if not operator.sequence and has_tokens(network, source) else name)
    return wrapped(f"{names.node(index)} = self.{names.node(index)}", inputs)


def wrapped(head: str, items: Sequence[str]) -> list[str]:
    """``head([items])`` inside a method, broken where it is too long, as formatters break it."""
    whole, inner = f"{head}([{', '.join(items)}])", f"[{', '.join(items)}]"
    if len(whole) <= WIDTH - 8:
        return [whole]
    if len(inner) <= WIDTH - 12:
        return [f"{head}(", f"    {inner}", ")"]
    return [f"{head}(", "    [", *(f"        {item}," for item in items), "    ]", ")"]


def has_tokens(network: FusionNetwork, source: Source) -> bool:
    """Whether a feature may have more tokens than one."""
    if isinstance(source, Point):
        return network.signature.inputs[source.modality].tokens > 1
    operator = network.head.nodes[source.node]
    assert isinstance(operator, FusionOperator)
    return operator.sequence


def readout_lines(network: FusionNetwork, names: Names) -> list[str]:
    """From the output's feature to logits."""
    fused = f"pool({names.source(network.architecture.output)})"
    if network.head.decides:
        lines = [f"logits = {fused}  # the last node decides"]
    else:
        lines = [f"logits = self.readout({fused}.unsqueeze(-2)).squeeze(-2)"]
    return lines + [f'logits = logits + self.{names.wide(name)}(inputs["{name}"])' for name in network.wide]
