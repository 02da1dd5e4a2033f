"""Recurrent multistage fusion: at every step, several stages highlight features, fuse them, and feed back (RMFN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, vector_result
from fusionnas.operators.gated_softmax import masked_softmax
from fusionnas.operators.recurrent import FIXED_LENGTH, lstm_cell, lstm_parameters, open_forget_gate
from fusionnas.operators.steps import aligned

STAGES = 3


@register_operator("recurrent_multistage")
class RecurrentMultistage(FusionOperator):
    """RMFN: k sequences (..., B, T_j, D) -> one vector (..., B, 1, D), made of all states after the last step.

    At every step each input's LSTM reads its token, its state and the fused ``z`` of the step before. Then, 3 times
    over: an LSTM and a softmax over all channels highlight some of the states; another LSTM fuses what is highlighted.
    ``z`` is a linear map of all fused states. States stand still where a step is not real. The states of an absent
    input are zeros throughout, take no part in the softmax, and so change nothing.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="h_jt = LSTM_j([x_jt; z_(t-1)]); stages q = 1..3: a_q = softmax(W LSTM_H(h_t)), s_q = LSTM_F(a_q * "
        "h_t); z_t = U [s_1; s_2; s_3] + d; output V [h_1T; ...; h_kT; z_T] + b",
        source="Liang et al., Multimodal Language Analysis with Recurrent Multistage Fusion, EMNLP 2018, "
        "arXiv:1808.03920",
        departs="written from the equations, as no faithful code is public; all states have D channels; the softmax is "
        "multiplied by the number of channels, so that what is highlighted keeps its size; LSTM_H and LSTM_F start "
        "every step at zero; any lengths; a linear map ends the operator",
        parameters="k·4·D·(3·D + 1) + 4·k·D·(2·k·D + 2) + k²·D² + k·D + 4·D·(k·D + D + 2) + 3·D² + D + (k + 1)·D² + D",
        macs="Tm·(24·k·D² + 27·k²·D² + 15·D²) + (k + 1)·D², Tm tokens of the longest input",
        rank=9,
        absent="its states stay zero and are not attended to",
    )
    sequence: ClassVar[bool] = True
    fixed_length: ClassVar[str] = FIXED_LENGTH

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        wide = inputs * width
        self.cells = SlotLinear(inputs, 3 * width, fan_out=4 * width)
        self.highlight_input, self.highlight_state = Linear(wide, 4 * wide), Linear(wide, 4 * wide)
        self.attention = Linear(wide, wide)
        self.fuse_input, self.fuse_state = Linear(wide, 4 * width), Linear(width, 4 * width)
        self.summarize = Linear(STAGES * width, width)
        # States are small at first; the gains bring the output to unit scale.
        self.project = Linear(wide, width, gain=4.0)
        self.project_fused = Linear(width, width, bias=False, gain=4.0)
        open_forget_gate(self.cells.bias, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> all states after the last step."""
        values, real = aligned(features)
        tokens, there = torch.stack(values, -2), real.any(-2)
        states = cells = torch.zeros_like(tokens[..., 0, :, :])
        fused = torch.zeros_like(states[..., 0, :])
        for token, here in zip(tokens.unbind(-3), real.unbind(-2), strict=True):
            feedback = fused.unsqueeze(-2).expand_as(states)
            gates = self.cells(torch.cat((token, states, feedback), -1))
            new_states, new_cells = lstm_cell(gates, cells)
            states = torch.where(here.unsqueeze(-1), new_states, states)
            cells = torch.where(here.unsqueeze(-1), new_cells, cells)
            fused = torch.where(here.any(-1, keepdim=True), self._stages(states, there), fused)
        out = self.project(states.flatten(-2)) + self.project_fused(fused)
        return vector_result(out, there.any(-1))

    def _stages(self, states: Tensor, there: Tensor) -> Tensor:
        """States (..., k, D) and which inputs are there (..., k) -> the fused state of one step, (..., D)."""
        real = there.unsqueeze(-1).expand_as(states)
        seen = cell = torch.zeros_like(states)
        fused = fused_cell = torch.zeros_like(states[..., 0, :])
        stages = []
        for _ in range(STAGES):
            # Gates slot by slot, so that the block of the first slots is the operator over those inputs.
            gates = self.highlight_input(states.flatten(-2)) + self.highlight_state(seen.flatten(-2))
            seen, cell = lstm_cell(gates.reshape(*states.shape[:-1], -1), cell)
            seen, cell = torch.where(real, seen, 0.0), torch.where(real, cell, 0.0)
            shares = masked_softmax(self.attention(seen.flatten(-2)), real.flatten(-2), dim=-1)
            bright = (shares * real.flatten(-2).sum(-1, keepdim=True)).to(states.dtype) * states.flatten(-2)
            fused, fused_cell = lstm_cell(self.fuse_input(bright) + self.fuse_state(fused), fused_cell)
            stages.append(fused)
        summary: Tensor = self.summarize(torch.cat(stages, -1))
        return summary

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """The inputs' LSTMs, LSTM_H, attention, LSTM_F, summary, output."""
        wide = inputs * width
        stages = lstm_parameters(wide, wide) + (wide + 1) * wide + lstm_parameters(wide, width)
        ends = (STAGES * width + 1) * width + (wide + 1) * width + width**2
        return inputs * 4 * width * (3 * width + 1) + stages + ends

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Per step of the longest input the LSTMs and three stages; the output once."""
        stage = 9 * inputs**2 + 4 * inputs + 4
        step = (12 * inputs + STAGES * stage + STAGES) * width**2
        return max(tokens) * step + (inputs + 1) * width**2
