"""Methods of a network with gates: ``forward``, and one method per branch that a gate may skip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fusionnas.architecture import Source
from fusionnas.export.python.collect import Collected
from fusionnas.export.python.plain import Names, encoder_lines, node_lines, readout_lines
from fusionnas.gates.gate import Gate
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.plan import Ask, Encode, Fuse, Step
from fusionnas.gates.rows import branch, encode_rows, gather, passed_on, running_rows, settled
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator


def gated_lines(network: GatedNetwork, names: Names, collected: Collected) -> list[str]:
    """The method ``forward``, and one method per branch."""
    return _Writer(network, names, collected).lines()


def gate_parts(network: GatedNetwork, names: Names, collected: Collected) -> list[str]:
    """Lines of ``__init__``: gates, and the linear maps around gated nodes."""
    gate, linear, width = collected.add(Gate), collected.add(Linear), network.width
    lines = []
    for name, one in network.gates.items():
        assert isinstance(one, Gate)
        outputs, seen = one.guess.weight.shape
        lines.append(f"self.{names.gate(name)} = {gate}({seen // width}, {width}, {outputs})")
    for index in network.otherwise:
        around = network.passes[f"node_{index}"]
        assert isinstance(around, Linear)
        fan_out = around.weight.shape[0]
        lines.append(f"self.{names.bypass(index)} = {linear}({width}, {fan_out})")
    return lines


class _Writer:
    """Writes methods; helpers for rows of a batch are taken along as they are used."""

    def __init__(self, network: GatedNetwork, names: Names, collected: Collected) -> None:
        self.network, self.names, self.collected = network, names, collected
        self.branches: list[str] = []

    def lines(self) -> list[str]:
        body = ["present = {name: feature.present for name, feature in inputs.items()}"]
        body += self._stages() if self.network.stages else []
        body += self._steps(self.network.steps)
        body += [line.replace("(inputs[", "(given[") if self.network.stages else line
                 for line in readout_lines(self.network, self.names)]  # fmt: skip
        told = "Preprocessed inputs by modality -> logits (B, C); what nobody needs is not computed."
        forward = ["", "def forward(self, inputs: Mapping[str, Feature]) -> Tensor:", f'    """{told}"""']
        encoders = [line for name in self.network.architecture.modalities for line in self._encoder(name)]
        shown = encoders if self.network.stages else []
        return [*forward, *(f"    {line}" for line in body), "    return logits", *shown, *self.branches]

    def _encoder(self, modality: str) -> list[str]:
        """One modality's levels as a method."""
        layers = dict(self.network.architecture.layers)[modality]
        wanted = [self.names.source(point) for point in self.network.points_of((modality,))]
        return ["", f"def encode_{modality}(self, feature: Feature) -> list[Feature]:",
                f'    """The levels of {modality} that are read: {", ".join(wanted)}."""',
                *(f"    {line}" for line in encoder_lines(self.names, modality, len(layers), "feature")),
                f"    return [{', '.join(wanted)}]"]  # fmt: skip

    def _stages(self) -> list[str]:
        encode, running, network = self._take(encode_rows), self._take(running_rows), self.network
        empty = f"next(self.parameters()).new_zeros(size, {network.width})"
        lines = ["size = len(next(iter(inputs.values())).present)", "rows = torch.arange(size)",
                 f"nothing = Feature.vector({empty}).absent()"]  # fmt: skip
        for stage, modalities in enumerate(network.stages):
            if stage:
                # A list with a comma at its end stays as it is, however many points there are.
                seen = [f"        {self._take(gather)}({self.names.source(p)}, rows)," for p in network.seen(stage)]
                lines += [f"# Of the others, those whose gate asks for it have {' and '.join(modalities)} too.",
                          "if len(rows):",
                          "    seen = [", *seen, "    ]",
                          f"    rows = rows[self.{self.names.gate(f'stage_{stage}')}(seen) > 0]"]  # fmt: skip
            for name in modalities:
                points = network.points_of((name,))
                found = ", ".join(self.names.source(point) for point in points)
                given = f'self.encode_{name}, inputs["{name}"], rows, [nothing] * {len(points)}'
                lines.append(f"[{found}] = {encode}({given})")
                lines.append(f'present["{name}"] = present["{name}"] & {running}(rows, size)')
        shown = "given = {name: feature.only(present[name]) for name, feature in inputs.items()}"
        return [*lines, *([shown] if network.wide else [])]

    def _steps(self, steps: Sequence[Step]) -> list[str]:
        lines = []
        for step in steps:
            if isinstance(step, Encode):
                name, level = step.point.modality, step.point.level
                before = self.names.level(name, level - 1) if level else f'inputs["{name}"]'
                lines.append(f"{self.names.level(name, level)} = self.{self.names.level(name, level)}({before})")
            elif isinstance(step, Fuse):
                lines += node_lines(self.network, self.names, step.node)
            else:
                lines += self._ask(step)
        return lines

    def _ask(self, step: Ask) -> list[str]:
        names, node = self.names, self.names.node(step.node)
        reads: list[Source] = [source for source in step.reads if not isinstance(source, str)]
        raw = ", ".join(f'"{name}": inputs["{name}"]' for name in step.reads if isinstance(name, str))
        seen = names.source(step.otherwise)
        there = ", ".join(f'present["{name}"]' for name in step.behind)
        operator = self.network.head.nodes[step.node]
        assert isinstance(operator, FusionOperator)
        passed = f"{self._take(passed_on)}(self.{names.bypass(step.node)}, {seen}, tokens={operator.sequence})"
        self._branch(step, reads)
        return [f"decision = (self.{names.gate(f'node_{step.node}')}([{seen}]) > 0).to({seen}.values.dtype)",
                f"others = [{there}]",
                f"{node} = {self._take(branch)}(",
                f"    {self._take(settled)}(decision, {seen}, others) > 0,",
                f"    self.run_{node},", f"    lambda: {passed},", f"    {{{raw}}},", "    present,",
                f"    [{', '.join(map(names.source, reads))}],", ")"]  # fmt: skip

    def _branch(self, step: Ask, reads: Sequence[Source]) -> None:
        node = self.names.node(step.node)
        place = len(self.branches)
        body = [*self._steps(step.body), f"return {node}"]
        method = ["", f"def run_{node}(",
                  "    self, inputs: Mapping[str, Feature], present: Mapping[str, Tensor], features: Sequence[Feature]",
                  ") -> Feature:",
                  f'    """What only {node} needs, for the samples that ask for it."""',
                  f"    [{', '.join(map(self.names.source, reads))}] = features",
                  *(f"    {line}" for line in body)]  # fmt: skip
        self.branches[place:place] = method

    def _take(self, thing: Callable[..., object]) -> str:
        return self.collected.add(thing)
