"""FusionNetwork: one architecture, built. A plain module without alphas or search code.

Shapes: B batch, T tokens, D width, C outputs (1 logit for a binary task, else one per class).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.device import device_of
from fusionnas.encoders.encoder import Encoder
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature, Signature, pool
from fusionnas.layers import Dropout, Linear
from fusionnas.operators import operators
from fusionnas.operators.base import FusionOperator

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


Encoded = Mapping[str, Sequence[Feature]]
"""Features of levels 0..L by modality, computed before: those of frozen encoders."""


class FusionHead(nn.Module):
    """Fusion nodes and readout of an architecture, on features that are there already.

    Also runs stacked (:func:`fusionnas.layers.stack_modules`): then every feature and the logits carry
    a leading member dimension G.

    Args:
        architecture: nodes and output to build.
        width: channels D of every feature.
        outputs: logits C.
        dropout: on every fusion point's values and on the fused vector.

    Where the last node decides (late fusion), its output is the logits, and there is no readout after it.
    """

    def __init__(self, architecture: Architecture, width: int, outputs: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.plan = tuple(node.inputs for node in architecture.nodes)
        self.output = architecture.output
        self.nodes = nn.ModuleList(
            operators[n.operator].build(len(n.inputs), width, outputs) for n in architecture.nodes
        )
        self.decides = decides(architecture)
        self.readout = nn.Identity() if self.decides else Linear(width, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, features: Mapping[Point, Feature]) -> Tensor:
        """Features (..., B, T, D) by fusion point -> logits (..., B, C)."""
        dropped = {point: self.dropped(feature) for point, feature in features.items()}
        return self.read(self.fuse(dropped))

    def dropped(self, feature: Feature) -> Feature:
        """A fusion point as nodes see it: with dropout."""
        return feature._replace(values=self.dropout(feature.values))

    def fuse(self, features: Mapping[Point, Feature]) -> Feature:
        """Fusion points as nodes see them -> the output's feature (..., B, T, D)."""
        known: dict[Source, Feature] = {point: feature for point, feature in features.items()}
        for index in range(len(self.plan)):
            known[NodeRef(index)] = self.node(index, known)
        return known[self.output]

    def node(self, index: int, known: Mapping[Source, Feature]) -> Feature:
        """One node, from what is known."""
        operator = self.nodes[index]
        assert isinstance(operator, FusionOperator)
        return run_operator(operator, [known[source] for source in self.plan[index]])

    @property
    def drops_fused(self) -> bool:
        """Whether dropout also falls on the fused vector: not on a lone point, not on logits."""
        return bool(self.plan) and not self.decides

    def read(self, feature: Feature) -> Tensor:
        """The output's feature (..., B, T, D) -> logits (..., B, C)."""
        fused = pool(feature).unsqueeze(-2)
        logits: Tensor = self.readout(self.dropout(fused) if self.drops_fused else fused)
        return logits.squeeze(-2)


def decides(architecture: Architecture) -> bool:
    """Whether the last node gives logits, not features."""
    return bool(architecture.nodes) and operators[architecture.nodes[-1].operator].decides


def run_operator(operator: FusionOperator, inputs: Sequence[Feature]) -> Feature:
    """Apply an operator; vector operators receive masked means over tokens."""
    if not operator.sequence:
        inputs = [x if x.values.shape[-2] == 1 else Feature.vector(pool(x), x.present) for x in inputs]
    fused: Feature = operator(inputs)
    return fused


class FusionNetwork(nn.Module):
    """Encoders of the modalities that the architecture reads, its fusion nodes, and a readout.

    Args:
        architecture: what to build.
        signature: sizes of inputs and outputs.
        width: channels D of every feature.
        wide: modalities with a linear path from their input straight to the logits (Cheng et al.,
            "Wide & Deep Learning", 2016, arXiv:1606.07792).
        dropout: see :class:`FusionHead`.
        input_dropout: per modality, dropout on the encoder's and the wide path's input.
    """

    def __init__(
        self,
        architecture: Architecture,
        signature: Signature,
        *,
        width: int,
        wide: Sequence[str] = (),
        dropout: float = 0.0,
        input_dropout: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.architecture, self.signature, self.width = architecture, signature, width
        rates = input_dropout or {}
        self.encoders = nn.ModuleDict(
            {
                name: Encoder(signature.inputs[name], width, layers, rates.get(name, 0.0))
                for name, layers in architecture.layers
            }
        )
        self.wide = nn.ModuleDict(
            {
                name: WidePath(signature.inputs[name].width, signature.outputs, rates.get(name, 0.0))
                for name in architecture.modalities
                if name in wide
            }
        )
        self.head = FusionHead(architecture, width, signature.outputs, dropout=dropout)

    def encode(self, inputs: Mapping[str, Feature], encoded: Encoded | None = None) -> dict[Point, Feature]:
        """Inputs by modality -> the features that the head reads; ``encoded`` modalities are not encoded again."""
        ready = encoded or {}
        levels = {n: ready[n] if n in ready else encoder(inputs[n]) for n, encoder in self.encoders.items()}
        return {point: levels[point.modality][point.level] for point in self.architecture.points()}

    def forward(self, inputs: Mapping[str, Feature], encoded: Encoded | None = None) -> Tensor:
        """Inputs by modality, (B, T, R) or (B, T) ids -> logits (B, C); ``encoded`` as for ``encode``."""
        return self.decode(self.encode(inputs, encoded), inputs)

    def dense(self, inputs: Mapping[str, Feature]) -> Tensor:
        """As ``forward``, without branches on data: what exported programs compute."""
        return self.decode(self.encode(inputs), inputs)

    def decode(self, features: Mapping[Point, Feature], inputs: Mapping[str, Feature]) -> Tensor:
        """What ``encode`` gave, and the inputs for wide paths -> logits (B, C)."""
        logits: Tensor = self.head(features)
        for name, path in self.wide.items():
            logits = logits + path(inputs[name])
        return logits


class WidePath(nn.Module):
    """Linear path from a modality's pooled input to the logits; starts at zero, adds nothing where absent."""

    def __init__(self, fan_in: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.linear = Linear(fan_in, outputs, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.dropout = Dropout(dropout)

    def forward(self, feature: Feature) -> Tensor:
        """(B, T, R) -> (B, C)."""
        out: Tensor = self.linear(pool(feature._replace(values=self.dropout(feature.values))))
        return out * feature.present.unsqueeze(-1).to(out.dtype)


def build(space: SearchSpace, architecture: Architecture, signature: Signature | None = None) -> FusionNetwork:
    """The network of an architecture, freshly initialised from torch's global generator.

    Args:
        space: gives width, dropout and wide paths.
        architecture: any architecture over the space's modalities, also one outside the space.
        signature: input and output sizes; default: those stored in the architecture.

    Raises:
        SpaceError: no signature is known, or the architecture reads a modality that the space lacks.
    """
    signature = signature or architecture.signature
    if signature is None:
        raise SpaceError(
            f"architecture {architecture.id} does not say how large its inputs are; "
            "pass signature=dataset.search.signature, or take an architecture from a run"
        )
    unknown = [name for name in architecture.modalities if name not in space.file.modalities]
    if unknown:
        raise SpaceError(f"architecture {architecture.id} reads modalities that the space does not have", unknown)
    modalities = space.file.modalities
    kind = FusionNetwork
    if architecture.gates is not None:
        from fusionnas.gates.network import GatedNetwork

        kind = GatedNetwork
    return kind(
        architecture,
        signature,
        width=space.file.fusion.width,
        wide=[name for name, modality in modalities.items() if modality.wide],
        dropout=space.file.training.dropout,
        input_dropout={name: modality.dropout for name, modality in modalities.items()},
    )


@torch.no_grad()
def encode_frozen(
    encoders: Mapping[str, Callable[[Feature], Sequence[Feature]]], inputs: Mapping[str, Feature], *, size: int = 512
) -> dict[str, list[Feature]]:
    """Features of levels 0..L of encoders that no longer change, for all samples, computed once."""
    found = {}
    for name, encoder in encoders.items():
        feature = inputs[name]
        batches = torch.arange(len(feature.present)).split(size)
        levels = zip(*(encoder(feature.rows(index)) for index in batches), strict=True)
        found[name] = [Feature(*(torch.cat(t) for t in zip(*level, strict=True))) for level in levels]
    return found


def encoded_rows(encoded: Encoded, index: Tensor) -> dict[str, list[Feature]]:
    """The samples ``index`` of ``encode_frozen``'s result, on whatever device."""
    return {name: [level.rows(index) for level in levels] for name, levels in encoded.items()}


@torch.no_grad()
def predict(network: FusionNetwork, inputs: Mapping[str, Feature], *, size: int = 512) -> Tensor:
    """Logits (N, C) in eval mode, where the inputs are; computed in batches of ``size``, where the network is."""
    network.eval()
    there, home = device_of(network), next(iter(inputs.values())).present.device
    batches = torch.arange(len(next(iter(inputs.values())).present)).split(size)
    rows = ({name: feature.rows(index).to(there) for name, feature in inputs.items()} for index in batches)
    return torch.cat([network(batch) for batch in rows]).to(home)
