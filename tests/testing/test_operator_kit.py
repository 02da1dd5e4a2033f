"""The kit refuses operators that are broken on purpose, one per check, and accepts the one that they derive from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from fusionnas.errors import RegistryError
from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import FusionOperator, OperatorFacts, vector_result, vector_slots
from fusionnas.testing import OPERATOR_CHECKS, ConformanceError, check_operator

FACTS = OperatorFacts("z = W [x]", "Nobody, Nothing, 2020", "it does not", "k·D² + D", "k·D²", 1)


class Good(FusionOperator):
    """A vector operator that obeys."""

    facts = FACTS

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(inputs * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        values, present = vector_slots(features)
        return vector_result(self.finish(self.project(values.flatten(-2)), values), present.any(-1))

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        return inputs * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        return inputs * width**2


class GoodSequence(Good):
    """A sequence operator that obeys: adds the masked means of the others to each token of the first."""

    ordered, sequence = True, True

    def forward(self, features: Sequence[Feature]) -> Feature:
        first = features[0]
        length = first.values.shape[-2]
        parts = [first.values * first.mask[..., None]]
        parts += [self.mean(f)[..., None, :].expand(*f.values.shape[:-2], length, -1) for f in features[1:]]
        fused = self.project(torch.cat(parts, -1))
        return Feature(torch.where(first.mask[..., None], fused, 0.0), first.mask, first.present)

    def mean(self, feature: Feature) -> Tensor:
        mask = feature.mask[..., None]
        return (feature.values * mask).sum(-2) / mask.sum(-2).clamp_min(1)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        return inputs * width**2 * tokens[0]


class NoDepartures(Good):
    """Its facts do not say how it departs from its source."""

    facts = OperatorFacts("z", "Nobody, 2020", "", "k", "k", 1)


class WrongParameters(Good):
    """Forgets the bias."""

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        return inputs * width**2


class WrongMacs(Good):
    """Counts twice."""

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        return 2 * inputs * width**2


class AlwaysPresent(Good):
    """Says that its output is there although nothing went in."""

    def forward(self, features: Sequence[Feature]) -> Feature:
        out = super().forward(features)
        return Feature.vector(out.values.squeeze(-2))


class ReadsAbsent(Good):
    """Reads the values of inputs that are not there."""

    def forward(self, features: Sequence[Feature]) -> Feature:
        values = torch.cat([f.values for f in features], -2)
        present = torch.stack([f.present for f in features]).any(0)
        return vector_result(self.project(values.flatten(-2)), present)


class DividesByInputs(Good):
    """Takes the mean, so one more absent input changes the output."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused / self.inputs


class PrefersFirst(Good):
    """Treats the first input differently and does not say ``ordered``."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused + values[..., 0, :]


class NotStackable(Good):
    """Uses a plain torch layer and says that it can be stacked."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = nn.Linear(inputs * width, width)  # type: ignore[assignment]


class CountsPadding(GoodSequence):
    """Divides by the length of the padded sequence."""

    def mean(self, feature: Feature) -> Tensor:
        return feature.values.mean(-2)


class DividesByZero(GoodSequence):
    """Divides by the number of real tokens, also where there is none."""

    def mean(self, feature: Feature) -> Tensor:
        mask = feature.mask[..., None]
        return (feature.values * mask).sum(-2) / mask.sum(-2)


class MixesSamples(Good):
    """Normalises over the batch."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused - fused.mean(-2, keepdim=True)


class UnusedParameter(Good):
    """Has a parameter that the output does not depend on."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.spare = Linear(width, width)


class MakesOnTheCpu(Good):
    """Makes a tensor on the CPU, wherever its inputs are."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused + torch.ones(fused.shape[-1])


class Counts(Good):
    """Changes from call to call, by a number that no tensor holds."""

    calls = 0

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        self.calls += 1
        return fused * (1 + 1 / self.calls)


class SignedRoot(Good):
    """Its gradient is not a number where a value is exactly zero (as in HPFN's code)."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused.sign() * fused.abs().sqrt()


class Vanishing(Good):
    """Starts with an output a thousand times too small (as the authors' code of LMF)."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused * 1e-3


class HiddenState(Good):
    """Keeps random numbers that are in no state dict."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.hidden = torch.randn(width)

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused * self.hidden.to(fused.dtype)


class Cancels(Good):
    """Loses everything to rounding in bfloat16."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return (fused + 100.0) - 100.0


class LooksAtData(Good):
    """Decides in Python by the values of a tensor."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused * 2 if values.sum() > 0 else fused


class KnowsBatch(Good):
    """Works for the batch size that it was exported with alone."""

    def finish(self, fused: Tensor, values: Tensor) -> Tensor:
        return fused * 2 if len(values) == 6 else fused


class SlotwiseSum(Good):
    """Unordered, with one module per slot: names with trailing indices."""

    def __init__(self, inputs: int, width: int) -> None:
        FusionOperator.__init__(self, inputs, width)
        self.slots = nn.ModuleList(Linear(width, width, bias=False) for _ in range(inputs))
        self.gains = SlotLinear(inputs, width, fan_out=width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        values, present = vector_slots(features)
        terms = [slot(v) for slot, v in zip(self.slots, values.unbind(-2), strict=True)]
        gated = (self.gains(values) * present[..., None]).sum(-2)
        return vector_result(torch.stack(terms).sum(0) + gated, present.any(-1))


BROKEN = {
    "facts": (NoDepartures, "facts.departs is empty"),
    "parameters": (WrongParameters, "2 inputs of width 8: count_parameters 128, actual 136"),
    "macs": (WrongMacs, r"2 inputs, tokens \(1, 1\): count_macs 256, measured 128"),
    "presence": (AlwaysPresent, "2 inputs, all inputs absent: the output is present for"),
    "absent": (ReadsAbsent, "2 inputs: output when absent input 0 holds noise: differs by"),
    "leading_block": (DividesByInputs, "2 inputs, and 3 of which the last is absent: differs by"),
    "order": (PrefersFirst, "4 inputs in another order, their parameters too .* differs by"),
    "stacking": (NotStackable, "stops with RuntimeError"),
    "padding": (CountsPadding, "2 inputs: output after padding input 1: differs by"),
    "masked_rows": (DividesByZero, "2 inputs: fully masked samples give project.weight a gradient that is not finite"),
    "batch_of_one": (MixesSamples, "2 inputs: a sample alone and in a batch: differs by"),
    "gradients": (UnusedParameter, "2 inputs: spare.weight gets no gradient"),
    "device": (MakesOnTheCpu, r"2 inputs: on another device, aten.add.Tensor has arguments on the CPU, of shape .8,."),
    "replay": (Counts, "2 inputs: call 1 of a recorded step differs; does forward keep a state"),
    "gradcheck": (SignedRoot, "2 inputs: at inputs of exactly 0 the gradient differs from finite differences"),
    "scale": (Vanishing, "2 inputs: standard deviation 0.001 at first, expected 0.2 to 5"),
    "state_dict": (HiddenState, "2 inputs: output after loading another module's state dict: differs by"),
    "autocast": (Cancels, "2 inputs: bfloat16 autocast changes the output by"),
    "compile": (LooksAtData, "stops with .*: .*"),
    "export": (KnowsBatch, "stops with .*|exported and eager output"),
}


def test_there_is_a_broken_operator_for_every_check():
    assert set(BROKEN) == set(OPERATOR_CHECKS)


@pytest.mark.parametrize("check", BROKEN)
def test_broken_operator_is_refused(check):
    operator, message = BROKEN[check]
    with pytest.raises(ConformanceError, match=rf"{operator.__name__} does not conform\n  {check}: ({message})"):
        check_operator(operator, only=check)


@pytest.mark.parametrize("operator", [Good, GoodSequence], ids=lambda cls: cls.__name__)
def test_operator_that_obeys_is_accepted(operator):
    check_operator(operator)


@pytest.mark.parametrize("check", ["order", "leading_block", "stacking", "gradients"])
def test_modules_per_slot_are_understood(check):
    check_operator(SlotwiseSum, only=check)


def test_all_failures_are_told_at_once():
    class Twice(WrongParameters, WrongMacs):
        """Both counts are wrong."""

    with pytest.raises(ConformanceError) as caught:
        check_operator(Twice)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == ["  parameters", "  macs"]


def test_unknown_check_is_told():
    with pytest.raises(RegistryError, match="'paddin' is not a check. Did you mean 'padding'"):
        check_operator(Good, only="paddin")


def test_operators_are_found_by_name():
    check_operator("additive", only="macs")
    with pytest.raises(RegistryError, match="Did you mean 'additive'"):
        check_operator("aditive")
