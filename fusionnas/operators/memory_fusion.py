"""Memory fusion: LSTMs side by side, attention over their changing cells, and a gated memory of what it finds (MFN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, vector_result
from fusionnas.operators.gated_softmax import masked_softmax
from fusionnas.operators.recurrent import FIXED_LENGTH, Lstm, lstm_parameters
from fusionnas.operators.steps import aligned


@dataclass(frozen=True)
class MemorySizes:
    """Sizes of a memory fusion network: channels of each LSTM and of the memory, hidden units of each small network.

    Attributes:
        cells: channels of the LSTM of each input.
        memory: channels of the memory.
        attention: hidden units of the attention over cells.
        candidate: of what is proposed to the memory.
        retain: of the gate that keeps the memory.
        update: of the gate that lets the proposal in.
        output: of the output.
    """

    cells: tuple[int, ...]
    memory: int
    attention: int
    candidate: int
    retain: int
    update: int
    output: int


class MemoryFusionNetwork(nn.Module):
    """Memory fusion of sequences of any widths: k sequences (..., B, T_j, D_j) -> (..., B, outputs).

    Source: Zadeh et al., "Memory Fusion Network for Multi-view Sequential Learning", AAAI 2018, arXiv:1802.00927;
    window of two steps. With the sizes of MMSA's configuration for MOSI it has that code's number of parameters. We
    depart: states and memory stand still where a step is not real; attention is multiplied by the number of channels
    that it is over, so that its mean is 1.

    Args:
        widths: channels D_j of each input.
        sizes: of everything inside.
        outputs: channels out.
        gain: of the last layer.
    """

    def __init__(self, widths: Sequence[int], sizes: MemorySizes, outputs: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.sizes = sizes
        both = 2 * sum(sizes.cells)
        self.lstms = nn.ModuleList(Lstm(width, cells) for width, cells in zip(widths, sizes.cells, strict=True))
        self.attention = _TwoLayers(both, sizes.attention, both)
        self.candidate = _TwoLayers(both, sizes.candidate, sizes.memory)
        self.retain = _TwoLayers(both, sizes.retain, sizes.memory, memory=sizes.memory)
        self.update = _TwoLayers(both, sizes.update, sizes.memory, memory=sizes.memory)
        self.output = _TwoLayers(sum(sizes.cells), sizes.output, outputs, memory=sizes.memory, gain=gain)

    def forward(self, features: Sequence[Feature]) -> Tensor:
        """k sequences -> (..., B, outputs), from the last states and the memory."""
        values, real = aligned(features)
        attended, last = self._attended(values, real)
        proposals = self.candidate(attended).tanh()
        memory = proposals.new_zeros(*proposals.shape[:-2], self.sizes.memory)
        steps = zip(attended.unbind(-2), proposals.unbind(-2), real.any(-1, keepdim=True).unbind(-2), strict=True)
        for seen, proposal, here in steps:
            kept = self.retain(seen, memory).sigmoid() * memory
            memory = torch.where(here, kept + self.update(seen, memory).sigmoid() * proposal, memory)
        out: Tensor = self.output(last, memory)
        return out

    def _attended(self, values: list[Tensor], real: Tensor) -> tuple[Tensor, Tensor]:
        """What attention lets through of every step's cells and those before, (..., B, T, 2 H); the last states."""
        pairs, last = [], []
        for x, here, lstm in zip(values, real.unbind(-1), self.lstms, strict=True):
            states, cells = lstm(x, here)
            before = torch.cat((torch.zeros_like(cells[..., :1, :]), cells[..., :-1, :]), -2)
            pairs += [before, cells]
            last.append(states[..., -1, :])
        both = torch.cat(pairs, -1)
        there = real.any(-2)
        known = [there[..., j : j + 1].expand(*there.shape[:-1], 2 * n) for j, n in enumerate(self.sizes.cells)]
        mask = torch.cat(known, -1).unsqueeze(-2).expand_as(both)
        shares = masked_softmax(self.attention(both), mask, dim=-1) * mask.sum(-1, keepdim=True)
        return shares.to(both.dtype) * both, torch.cat(last, -1)


class _TwoLayers(nn.Module):
    """Linear, relu, linear; the first layer may read a memory too, apart, as inputs grow and the memory does not."""

    def __init__(self, fan_in: int, hidden: int, fan_out: int, *, memory: int = 0, gain: float = 1.0) -> None:
        super().__init__()
        self.hidden, self.out = Linear(fan_in, hidden), Linear(hidden, fan_out, gain=gain)
        self.memory = Linear(memory, hidden, bias=False) if memory else None
        assert self.hidden.bias is not None
        # Off the kink of relu, where inputs are all 0.
        nn.init.normal_(self.hidden.bias, std=0.1)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        hidden = self.hidden(x)
        if self.memory is not None:
            hidden = hidden + self.memory(memory)
        out: Tensor = self.out(hidden.relu())
        return out


@register_operator("memory_fusion")
class MemoryFusion(FusionOperator):
    """MFN: k sequences (..., B, T_j, D) -> one vector (..., B, 1, D), from the last states and the memory.

    An absent input's cells are zeros throughout and take no part in the attention, and so change nothing.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="c_jt cells of LSTM_j(x_j); a_t = softmax(A(c_(t-1), c_t)) * [c_(t-1); c_t]; "
        "u_t = sigmoid(R(a_t, u_(t-1))) * u_(t-1) + sigmoid(S(a_t, u_(t-1))) * tanh(P(a_t)); output O(h_1T, ..., h_kT, "
        "u_T); A, P, R, S, O two layers each",
        source="Zadeh et al., Memory Fusion Network for Multi-view Sequential Learning, AAAI 2018, arXiv:1802.00927",
        departs="D channels and D hidden units throughout (MemoryFusionNetwork takes any sizes); states and memory "
        "stand still where a step is not real; any lengths; attention is multiplied by the number of channels it is "
        "over",
        parameters="k·4·D·(2·D + 2) + 4·k·D² + D + 2·k·D + 2·k·D² + 2·D + D² + 4·k·D² + 4·D² + 4·D + k·D² + 2·D² + 2·D",
        macs="Tm·(18·k·D² + 5·D²) + (k + 2)·D², Tm tokens of the longest input",
        rank=9,
        absent="its states stay zero and are not attended to",
    )
    sequence: ClassVar[bool] = True
    fixed_length: ClassVar[str] = FIXED_LENGTH

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        sizes = MemorySizes((width,) * inputs, width, width, width, width, width, width)
        self.network = MemoryFusionNetwork([width] * inputs, sizes, width, gain=4.0)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> what the states and the memory hold at the end."""
        there = torch.stack([feature.mask.any(-1) for feature in features]).any(0)
        return vector_result(self.network(features), there)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """LSTMs, attention, candidate, two gates, output."""
        wide = inputs * width
        attention = 4 * wide * width + width + 2 * wide
        candidate = 2 * wide * width + width + width**2 + width
        gates = 2 * (2 * wide * width + 2 * width**2 + 2 * width)
        output = wide * width + 2 * width**2 + 2 * width
        return inputs * lstm_parameters(width, width) + attention + candidate + gates + output

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``18 k D^2 + 5 D^2`` per step of the longest input, ``(k + 2) D^2`` once."""
        return (max(tokens) * (18 * inputs + 5) + inputs + 2) * width**2
