"""Recurrent shift word by word: the frames that go with a word, through an LSTM, vary its meaning (RAVEN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.modality_shift import bounded_share
from fusionnas.operators.recurrent import FIXED_LENGTH, Lstm, lstm_parameters


@register_operator("raven")
class Raven(FusionOperator):
    """``z_t = x_0t + a_t s_t``, ``s_t = sum_{j>0} S_j (w_jt h_jt)``, ``w_jt = sigmoid(G_j [h_jt; x_0t] + c_j)``.

    ``h_jt`` is the state of an LSTM over input j after the frames that go with word t: frames are dealt out evenly over
    the real words. ``a_t = min(|x_0t| / |s_t|, 1)`` bounds the shift by the word's own length. k sequences
    (..., B, T_j, D) -> (..., B, T_0, D). Gradients reach every part.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_t = x_0t + a_t s_t; s_t = sum_{j>0} S_j (w_jt h_jt); w_jt = sigmoid(G_j [h_jt; x_0t] + c_j); "
        "a_t = min(|x_0t| / |s_t|, 1); h_j the states of an LSTM over input j",
        source="Wang et al., Words Can Shift: Dynamically Adjusting Word Representations Using Nonverbal Behaviors, "
        "AAAI 2019, arXiv:1811.09362",
        departs="any number of other inputs; frames are dealt out evenly over the words, as a feature does not say "
        "which go with which, and the LSTM runs on from word to word; a bound of 1, not 0.2; nothing is detached (the "
        "authors' code detaches the whole nonverbal branch); the word LSTM that follows is another operator's task",
        parameters="(k - 1)·(8·D² + 8·D + 2·D + 1 + D²)",
        macs="(T - T0)·8·D² + (k - 1)·T0·(2·D + D²), T tokens in all, T0 of input 0",
        rank=6,
        absent="shifts by 0; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True
    fixed_length: ClassVar[str] = FIXED_LENGTH

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.frames = nn.ModuleList(Lstm(width, width) for _ in range(inputs - 1))
        self.gates = nn.ModuleList(Linear(2 * width, 1) for _ in range(inputs - 1))
        # The states of a fresh LSTM have a standard deviation of about 0.2.
        self.shifts = nn.ModuleList(Linear(width, width, bias=False, gain=4.0) for _ in range(inputs - 1))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, each token shifted."""
        target, real = features[0], features[0].mask.unsqueeze(-1)
        words = torch.where(real, target.values, 0.0)
        shift = torch.zeros_like(words)
        for source, lstm, gate, move in zip(features[1:], self.frames, self.gates, self.shifts, strict=True):
            frames = torch.where(source.mask.unsqueeze(-1), source.values, 0.0)
            heard = state_at(lstm(frames, source.mask)[0], source.mask, target.mask)
            weight = gate(torch.cat((heard, words), -1)).sigmoid()
            shift = shift + torch.where(source.mask.any(-1)[..., None, None], move(weight * heard), 0.0)
        shifted = words + bounded_share(words, shift) * shift
        return Feature(torch.where(real, shifted, 0.0), target.mask, target.present)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Per other input ``8 D^2 + 8 D`` for the LSTM, ``2 D + 1`` for the gate, ``D^2`` for the shift."""
        return (inputs - 1) * (lstm_parameters(width, width) + 2 * width + 1 + width**2)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``8 D^2`` per frame, ``2 D + D^2`` per word and other input."""
        words = (inputs - 1) * tokens[0] * (2 * width + width**2)
        return 8 * sum(tokens[1:]) * width**2 + words


def state_at(states: Tensor, frames: Tensor, words: Tensor) -> Tensor:
    """The state after the last frame that goes with each word.

    The n-th of N real words goes with the real frames up to number ceil(n F / N) of F: with as many frames as words it
    is one each.

    Args:
        states: (..., B, T_1, D), a state after each frame.
        frames: (..., B, T_1), which are real.
        words: (..., B, T_0), which are real.

    Returns:
        (..., B, T_0, D); what stands at words that are not real, or where no frame is, means nothing.
    """
    known, count = frames.sum(-1, keepdim=True), words.sum(-1, keepdim=True).clamp_min(1)
    number = (words.cumsum(-1) * known + count - 1).div(count, rounding_mode="floor")
    # States are carried on over padding: the first place where so many frames have been heard is as good as any.
    place = (frames.cumsum(-1).unsqueeze(-2) >= number.unsqueeze(-1)).to(torch.int64).argmax(-1)
    return states.gather(-2, place.unsqueeze(-1).expand(*place.shape, states.shape[-1]))
