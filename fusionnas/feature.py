"""Feature: what flows between encoders, fusion nodes and the readout. Inputs have the same form.

Shapes: B batch, T tokens, D channels; a leading member dimension G may stand before B when many
heads are trained stacked (:mod:`fusionnas.layers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_compiling


class Feature(NamedTuple):
    """One modality, or one fused result, at one level.

    Attributes:
        values: (..., B, T, D) floats; for code and text inputs (B, T) int64. Zero where masked.
        mask: (..., B, T) bool, True = real token.
        present: (..., B) bool, False = this sample lacks the modality; then no token is real.
    """

    values: Tensor
    mask: Tensor
    present: Tensor

    @classmethod
    def vector(cls, values: Tensor, present: Tensor | None = None) -> Feature:
        """A vector (..., B, D) as a feature of one token; ``present`` defaults to all."""
        if present is None:
            present = torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device)
        return cls(values.unsqueeze(-2) * present[..., None, None], present.unsqueeze(-1), present)

    def rows(self, index: Tensor) -> Feature:
        """The samples ``index`` (unstacked features only)."""
        return Feature(self.values[index], self.mask[index], self.present[index])

    def to(self, device: torch.device) -> Feature:
        """The same on a device; nothing is copied that is there."""
        return Feature(self.values.to(device), self.mask.to(device), self.present.to(device))

    def only(self, there: Tensor) -> Feature:
        """The same where ``there`` (B,) is True; the other samples lack it (unstacked features only)."""
        here = there.reshape(-1, *[1] * (self.values.dim() - 1))
        return Feature(self.values.masked_fill(~here, 0), self.mask & there.unsqueeze(-1), self.present & there)

    def absent(self) -> Feature:
        """The same shapes with nothing in it: every sample lacks it."""
        return Feature(torch.zeros_like(self.values), torch.zeros_like(self.mask), torch.zeros_like(self.present))


def pool(feature: Feature) -> Tensor:
    """Masked mean over tokens, (..., B, T, D) -> (..., B, D); zeros where no token is real."""
    if feature.values.shape[-2] == 1:
        return feature.values.squeeze(-2)  # zero where masked, as in every feature
    weight = feature.mask.unsqueeze(-1).to(feature.values.dtype)
    return (feature.values * weight).sum(-2) / weight.sum(-2).clamp_min(1)


def everywhere(flags: Tensor) -> bool:
    """Whether all flags are known to be true: looked up on a CPU, where that costs a twentieth of a selection.

    False while a program is traced, and on other devices, which would have to wait for the answer.
    """
    if is_compiling() or not flags.is_cpu:
        return False
    return flags.data_ptr() == _THERE or bool(flags.all())


_TRUE = torch.ones((), dtype=torch.bool)
_THERE = _TRUE.data_ptr()


def all_there(*shape: int) -> Tensor:
    """Flags that are all True, on a CPU, and take no looking at: ``known`` of them, and of views of them, is True."""
    return _TRUE.expand(shape)


def known(flags: Tensor) -> bool:
    """Whether flags are those of ``all_there``; False while a program is traced."""
    return not is_compiling() and flags.data_ptr() == _THERE


@dataclass(frozen=True)
class InputSpec:
    """What one modality's preprocessed input looks like.

    Attributes:
        width: channels R of (B, T, R) inputs; 0 for code and text inputs.
        tokens: largest T.
        vocabulary: number of ids of a (B, T) code or text input, padding id 0 included; else 0.
        grid: (rows, columns) of image patches, rows * columns = tokens; else empty.
    """

    width: int
    tokens: int = 1
    vocabulary: int = 0
    grid: tuple[int, ...] = ()


@dataclass(frozen=True)
class Signature:
    """What goes into a network and comes out of it: one InputSpec per modality, in declared order."""

    inputs: dict[str, InputSpec]
    outputs: int

    def to_json(self) -> dict[str, object]:
        """Plain data; ``Signature.from_json`` is the way back."""
        inputs = {
            name: {k: list(v) if isinstance(v, tuple) else v for k, v in vars(spec).items()}
            for name, spec in self.inputs.items()
        }
        return {"inputs": inputs, "outputs": self.outputs}

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Signature:
        """Read what ``to_json`` wrote."""
        inputs = data["inputs"]
        outputs = data["outputs"]
        assert isinstance(inputs, dict) and isinstance(outputs, int)
        return cls(
            {name: InputSpec(**{**spec, "grid": tuple(spec.get("grid", ()))}) for name, spec in inputs.items()}, outputs
        )


def random_feature(spec: InputSpec, size: int, generator: torch.Generator, *, complete: bool = False) -> Feature:
    """A random input of one form, (size, T, R) floats or (size, T) ids, to try and to measure networks with.

    Args:
        spec: its form.
        size: samples.
        generator: of everything random.
        complete: every sample has the modality and all tokens; else some lack it, and series end at different tokens.
    """
    present = torch.rand(size, generator=generator) > (-1.0 if complete else 0.1)
    mask = (torch.rand(size, spec.tokens, generator=generator) > (-1.0 if complete else 0.3)).sort(-1, True).values
    mask[:, 0] = True
    mask &= present.unsqueeze(1)
    if spec.vocabulary:
        return Feature(torch.randint(1, spec.vocabulary, mask.shape, generator=generator) * mask, mask, present)
    values = torch.randn(size, spec.tokens, spec.width, generator=generator)
    return Feature(values * mask.unsqueeze(-1), mask, present)
