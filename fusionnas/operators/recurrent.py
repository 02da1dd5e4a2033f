"""LSTM over masked sequences, stackable: where no token is real, the state goes on as it was.

Source: Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 1997; gates as in torch.nn.LSTM.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusionnas.layers import Linear

FIXED_LENGTH = "an operator runs step by step, and a captured program has a fixed number of steps"


class Lstm(nn.Module):
    """One layer; the bias of the forget gate starts at 1.

    Args:
        fan_in: channels in.
        hidden: channels of state and cell.
    """

    def __init__(self, fan_in: int, hidden: int) -> None:
        super().__init__()
        self.inputs, self.state = Linear(fan_in, 4 * hidden), Linear(hidden, 4 * hidden)
        open_forget_gate(self.inputs.bias, hidden)
        self.hidden = hidden

    def forward(self, values: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Values (..., B, T, D) and what is real (..., B, T) -> states and cells after each token, (..., B, T, H)."""
        gates = self.inputs(values)
        state = cell = gates.new_zeros(*gates.shape[:-2], self.hidden)
        states, cells = [], []
        for now, there in zip(gates.unbind(-2), real.unsqueeze(-1).unbind(-2), strict=True):
            new_state, new_cell = lstm_cell(now + self.state(state), cell)
            state, cell = torch.where(there, new_state, state), torch.where(there, new_cell, cell)
            states.append(state)
            cells.append(cell)
        return torch.stack(states, -2), torch.stack(cells, -2)


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates (..., 4 H): input, forget, candidate, output; cell (..., H) -> new state and cell."""
    take, keep, candidate, show = gates.chunk(4, -1)
    cell = keep.sigmoid() * cell + take.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


def open_forget_gate(bias: Tensor | None, hidden: int) -> None:
    """Bias (..., 4 H) with 1 at the forget gate (Jozefowicz et al., ICML 2015), so that cells start by remembering."""
    assert bias is not None
    with torch.no_grad():
        bias[..., hidden : 2 * hidden] = 1


def lstm_parameters(fan_in: int, hidden: int) -> int:
    """``4 H (D + H + 2)``."""
    return 4 * hidden * (fan_in + hidden + 2)
