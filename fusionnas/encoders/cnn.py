"""Encoder cnn: convolutions over neighbouring image patches, or over neighbouring audio frames."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values, zero_masked
from fusionnas.encoders.blocks import neighbours
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm, Linear

AROUND = (-1, 0, 1)


@register_encoder("cnn")
class Cnn(EncoderLayer):
    """``norm(x + conv(gelu(conv(x))))``, (B, T, D) -> (B, T, D): kernels of 3 x 3 on a patch grid, of 3 on frames.

    Which of the two follows from ``spec.grid``. Masked tokens count as zeros, as those beyond the border do.
    """

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="two convolutions over neighbouring patches (2-D) or frames (1-D), residual",
        source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385",
        departs="on patch features at one resolution; LayerNorm after the sum instead of BatchNorm; GELU; masks",
        kinds=("image", "audio"),
        view={"image": "patches", "audio": "frames"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        taps = len(AROUND) ** (2 if spec.grid else 1)
        self.first, self.second = Linear(taps * width, width), Linear(taps * width, width)
        self.norm = LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level; on a grid T = rows * columns, row by row."""
        hidden = functional.gelu(self._convolved(self.first, feature.values))
        out = self._convolved(self.second, zero_masked(hidden, feature.mask))
        return with_values(feature, self.norm(feature.values + out))

    def _convolved(self, linear: Linear, x: Tensor) -> Tensor:
        """A linear map of each token beside its neighbours, (B, T, D) -> (B, T, D)."""
        out: Tensor
        if not self.spec.grid:
            out = linear(neighbours(x, AROUND))
            return out
        rows, columns = self.spec.grid
        # Channels last, as both lie in memory: the convolution of the library, without a copy of nine neighbours each.
        grid = x.reshape(-1, rows, columns, x.shape[-1]).permute(0, 3, 1, 2)
        kernel = linear.weight.reshape(-1, len(AROUND), len(AROUND), x.shape[-1]).permute(0, 3, 1, 2)
        out = functional.conv2d(grid, kernel, linear.bias, padding=1)
        return out.permute(0, 2, 3, 1).flatten(1, 2)
