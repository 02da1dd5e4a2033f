"""The kit refuses encoders that are broken on purpose, one per check."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, with_values
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm, Linear
from fusionnas.testing import ENCODER_CHECKS, ConformanceError, check_encoder

FACTS = EncoderFacts("a layer", "Nobody, Nothing, 2020", "it does not", ("timeseries",), {"timeseries": "bins"})


class Good(EncoderLayer):
    """A layer that obeys."""

    facts = FACTS

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.linear, self.norm = Linear(width, width), LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        return with_values(feature, self.finish(self.norm(feature.values + self.linear(feature.values)), feature.mask))

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out


class NoYear(Good):
    """Its source has no year."""

    facts = EncoderFacts("a layer", "Nobody", "no", ("timeseries",), {"timeseries": "bins"})


class UnknownView(Good):
    """Asks for a view that there is not."""

    facts = EncoderFacts("a layer", "Nobody, 2020", "no", ("timeseries",), {"timeseries": "pictures"})


class FillsMask(Good):
    """Declares every token real."""

    def forward(self, feature: Feature) -> Feature:
        return super().forward(feature)._replace(mask=torch.ones_like(feature.mask))


class CountsPadding(Good):
    """Takes a mean over padding too."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out + (out * mask[..., None]).mean(1, keepdim=True)


class DividesByZero(Good):
    """Divides by the number of real tokens, also where there is none."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out + (out * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]


class MixesSamples(Good):
    """Normalises over the batch."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out - out.mean(0)


class UnusedParameter(Good):
    """Has a parameter that the output does not depend on."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.spare = Linear(width, width)


class SignedRoot(Good):
    """Its gradient is not a number where a value is exactly zero."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out.sign() * out.abs().sqrt()


class Exploding(Good):
    """A hundred times too large."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out * 100


class Counts(Good):
    """Changes from call to call, by a number that no tensor holds."""

    calls = 0

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        self.calls += 1
        return out * (1 + 1 / self.calls)


class HasNoBuffer(Good):
    """Keeps numbers that no move to another device takes along."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out @ torch.eye(out.shape[-1])


class HiddenState(Good):
    """Keeps random numbers that are in no state dict."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.hidden = torch.randn(width)

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out * self.hidden.to(out.dtype)


class Cancels(Good):
    """Loses everything to rounding in bfloat16."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return ((self.linear(out) + 100.0) - 100.0) + out


class LooksAtData(Good):
    """Decides in Python by the values of a tensor."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out * 2 if out.sum() > 0 else out


class KnowsBatch(Good):
    """Works for the batch size that it was exported with alone."""

    def finish(self, out: Tensor, mask: Tensor) -> Tensor:
        return out * 2 if len(out) == 6 else out


BROKEN = {
    "facts": (NoYear, "facts.source names no year: 'Nobody'"),
    "mask": (FillsMask, "kind timeseries: the mask has changed"),
    "padding": (CountsPadding, "kind timeseries: output after padding input 0: differs by"),
    "masked_rows": (DividesByZero, "kind timeseries: fully masked samples give linear.weight a gradient that is not"),
    "batch_of_one": (MixesSamples, "kind timeseries: a sample alone and in a batch: differs by"),
    "gradients": (UnusedParameter, "kind timeseries: spare.weight gets no gradient"),
    "device": (HasNoBuffer, "kind timeseries: on another device, aten.mm.default has arguments on the CPU"),
    "replay": (Counts, "kind timeseries: call 1 of a recorded step differs; does forward keep a state"),
    "gradcheck": (SignedRoot, "kind timeseries: at .* the gradient differs"),
    "scale": (Exploding, "kind timeseries: standard deviation 1e[+]02 at first, expected 0.2 to 5"),
    "state_dict": (HiddenState, "kind timeseries: output after loading another module's state dict: differs by"),
    "autocast": (Cancels, "kind timeseries: bfloat16 autocast changes the output by"),
    "compile": (LooksAtData, "stops with"),
    "export": (KnowsBatch, "stops with .*|exported and eager output"),
}


def test_there_is_a_broken_encoder_for_every_check():
    assert set(BROKEN) == set(ENCODER_CHECKS)


@pytest.mark.parametrize("check", BROKEN)
def test_broken_encoder_is_refused(check):
    encoder, message = BROKEN[check]
    with pytest.raises(ConformanceError, match=rf"{encoder.__name__} does not conform\n  {check}: ({message})"):
        check_encoder(encoder, only=check)


def test_unknown_view_is_refused():
    with pytest.raises(ConformanceError, match="facts: facts.view: 'pictures' for timeseries is none of plain, bins"):
        check_encoder(UnknownView, only="facts")


def test_encoder_that_obeys_is_accepted():
    check_encoder(Good)
