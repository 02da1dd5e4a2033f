"""Soft alignment by CTC: each token of the others is dealt to one token of the first, or to none, and added there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.recurrent import FIXED_LENGTH, Lstm, lstm_parameters

WEIGHT = 0.1


@register_operator("ctc_alignment")
class CtcAlignment(FusionOperator):
    """``z_t = W_0 x_0t + sum_{j>0} W_j y_jt + b``, ``y_jt`` the mean of input j's tokens that are dealt to token t.

    ``P_j = softmax([blank; q_1 k_s, ..., q_T0 k_s])`` per token s of input j, ``q`` from x_0, ``k`` from an LSTM over
    x_j. k sequences (..., B, T_j, D) -> (..., B, T_0, D). While training, the CTC loss of "the tokens of x_0 in order"
    is added to the gradient with weight 0.1; the output itself has no part of it.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_t = W_0 x_0t + sum_{j>0} W_j y_jt + b; y_jt = sum_s P_jst x_js / sum_s P_jst; P_js = softmax over "
        "the tokens t of x_0 and a blank of (q_t k_js / sqrt(D)); k_j from an LSTM over x_j; + 0.1 CTC loss in "
        "training",
        source="Graves et al., Connectionist Temporal Classification, ICML 2006; as soft alignment in Tsai et al., ACL "
        "2019, arXiv:1906.00295, section 4.3",
        departs="tokens of the target are told apart by what they hold, not by their index, so that any lengths do; "
        "one LSTM layer; a target token takes the mean of what is dealt to it, not the sum; true lengths in the loss; "
        "aligned sequences are added by linear maps, where the source goes on with a transformer",
        parameters="(k - 1)·(8·D² + 8·D + D² + D + 1) + D² + k·D² + D",
        macs="(T - T0)·(9·D² + D) + 2·T0·(T - T0)·D + T0·D² + T0·k·D², T tokens in all, T0 of input 0",
        rank=9,
        absent="its terms are left out; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True
    fixed_length: ClassVar[str] = FIXED_LENGTH

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.frames = nn.ModuleList(Lstm(width, width) for _ in range(inputs - 1))
        # The states of a fresh LSTM have a standard deviation of about 0.2.
        self.keys = nn.ModuleList(Linear(width, width, bias=False, gain=4.0) for _ in range(inputs - 1))
        self.blanks = nn.ModuleList(Linear(width, 1) for _ in range(inputs - 1))
        self.query = Linear(width, width, bias=False)
        self.project = Linear(inputs * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, with what is dealt to its tokens."""
        target, real = features[0], features[0].mask.unsqueeze(-1)
        words = torch.where(real, target.values, 0.0)
        query = self.query(words)
        parts, losses = [words], []
        for source, lstm, key, blank in zip(features[1:], self.frames, self.keys, self.blanks, strict=True):
            frames = torch.where(source.mask.unsqueeze(-1), source.values, 0.0)
            states = lstm(frames, source.mask)[0]
            scores = key(states) @ query.transpose(-1, -2) / self.width**0.5
            scores = torch.where(target.mask.unsqueeze(-2), scores, torch.finfo(scores.dtype).min)
            dealt = torch.cat((blank(states), scores), -1).log_softmax(-1)
            parts.append(dealt_means(dealt, frames, source.mask))
            if self.training:
                losses.append(ctc_loss(dealt, source.mask, target.mask))
        fused = self.project(torch.cat(parts, -1))
        if losses:
            fused = _WithGradientOf.apply(fused, WEIGHT * torch.stack(losses).sum())  # type: ignore[no-untyped-call]
        return Feature(torch.where(real, fused, 0.0), target.mask, target.present)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Per other input an LSTM, ``D^2`` for keys and ``D + 1`` for the blank; queries; the output."""
        each = lstm_parameters(width, width) + width**2 + width + 1
        return (inputs - 1) * each + (inputs + 1) * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """LSTM, key and blank per frame; scores and means per frame and word; query and output per word."""
        first, others = tokens[0], sum(tokens[1:])
        pairs = 2 * first * others * width
        return others * (9 * width**2 + width) + pairs + (inputs + 1) * first * width**2


def dealt_means(log_shares: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
    """Mean of frames (..., T_1, D) by their shares (..., T_1, 1 + T_0), blank first -> (..., T_0, D)."""
    shares = torch.where(mask.unsqueeze(-1), log_shares.exp(), 0.0)[..., 1:].transpose(-1, -2)
    mean = (shares.to(frames.dtype) @ frames) / shares.sum(-1, keepdim=True).clamp_min(1e-6)
    return mean.to(frames.dtype)


def ctc_loss(log_shares: Tensor, frames: Tensor, words: Tensor) -> Tensor:
    """CTC loss of dealing frames to words 1, 2, ..., N in order; mean over samples, sum over stacked members.

    Samples that cannot be dealt in order, having fewer frames than words, count 0.

    Args:
        log_shares: (..., B, T_1, 1 + T_0), the blank first.
        frames: (..., B, T_1), which frames are real.
        words: (..., B, T_0), which words are real.
    """
    samples = frames.shape[-2]
    length, count = frames.sum(-1).flatten(), words.sum(-1).flatten()
    # Real ones to the front: the loss wants lengths, not masks.
    by_frame = frames.to(torch.int64).argsort(dim=-1, descending=True, stable=True).unsqueeze(-1).expand_as(log_shares)
    by_word = words.to(torch.int64).argsort(dim=-1, descending=True, stable=True)
    columns = functional.pad(by_word + 1, (1, 0)).unsqueeze(-2).expand_as(log_shares)
    ready = log_shares.gather(-2, by_frame).gather(-1, columns).flatten(0, -3).transpose(0, 1)
    targets = torch.arange(1, words.shape[-1] + 1, device=words.device).expand(ready.shape[1], -1)
    precise = ready.to(torch.promote_types(ready.dtype, torch.float32))
    each = functional.ctc_loss(precise, targets, length, count, reduction="none", zero_infinity=True)
    return (each / length.clamp_min(1)).sum() / samples


class _WithGradientOf(torch.autograd.Function):
    """The values as they are; on the way back, a loss gets its gradient too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, loss: Tensor) -> Tensor:
        """Values, untouched."""
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The values' gradient, and 1 for the loss."""
        return gradients[0], gradients[0].new_ones(())
