"""Conformance of encoder layers: the list of checks, and how to run it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import torch
from torch import nn

from fusionnas.encoders.base import EncoderLayer, encoders
from fusionnas.feature import Feature, InputSpec
from fusionnas.space.schema import Kind, View
from fusionnas.testing import module_checks
from fusionnas.testing.conformance import Check, require, run_checks
from fusionnas.testing.module_checks import Subject, features

Layer = type[EncoderLayer]
SPECS: dict[str, InputSpec] = {
    "plain": InputSpec(width=5),
    "summary": InputSpec(width=24),
    "spectrum": InputSpec(width=24),
    "bins": InputSpec(width=8, tokens=7),
    "observations": InputSpec(width=5, tokens=7),
    "frames": InputSpec(width=6, tokens=7),
    "tokens": InputSpec(width=0, tokens=7, vocabulary=11),
    "patches": InputSpec(width=9, tokens=6, grid=(2, 3)),
}


def check_encoder(encoder: str | Layer, *, only: str | None = None) -> None:
    """Check that an encoder layer, by name or class, obeys its contract for every kind that it encodes.

    Args:
        encoder: registered name or class.
        only: one of :data:`ENCODER_CHECKS`; default all.

    Raises:
        ConformanceError: it does not; the message lists every failed check.
    """
    cls = encoders[encoder] if isinstance(encoder, str) else encoder
    run_checks(encoder if isinstance(encoder, str) else cls.__name__, cls, ENCODER_CHECKS, only)


def encoder_tests(*chosen: str | Layer) -> Callable[[str | Layer, str], None]:
    """A pytest function with one test per encoder and check; for all registered encoders if none is given."""
    import pytest

    @pytest.mark.parametrize("check", ENCODER_CHECKS)
    @pytest.mark.parametrize("encoder", chosen or tuple(encoders))
    def test_encoder(encoder: str | Layer, check: str) -> None:
        check_encoder(encoder, only=check)

    return test_encoder


def check_facts(cls: Layer) -> None:
    """Summary, source with year, departures, kinds, and a view for each kind are said."""
    for key in ("summary", "source", "departs"):
        require(str(getattr(cls.facts, key)).strip(), f"facts.{key} is empty")
    require(re.search(r"\b(19|20)\d\d\b", cls.facts.source), f"facts.source names no year: '{cls.facts.source}'")
    require(cls.facts.kinds, "facts.kinds is empty")
    for kind in cls.facts.kinds:
        require(kind in get_args(Kind), f"facts.kinds: '{kind}' is none of {', '.join(get_args(Kind))}")
        view = cls.facts.view.get(kind)
        require(view in get_args(View), f"facts.view: '{view}' for {kind} is none of {', '.join(get_args(View))}")
    require((cls.__doc__ or "").strip(), "the class has no docstring")


def check_mask(cls: Layer) -> None:
    """Mask and presence come out as they went in; values are zero where masked."""
    for subject in _subjects(cls):
        (given,) = features(subject.tokens, 8)
        gone = torch.tensor([True, False, False, True, False, False])
        (given,) = module_checks.without([given], 0, gone)
        out = subject.call(subject.build(), [given])
        require(torch.equal(out.mask, given.mask), f"{subject.label}: the mask has changed")
        require(torch.equal(out.present, given.present), f"{subject.label}: the presence has changed")
        require(not out.values[~given.mask].any(), f"{subject.label}: values where masked")


def _subjects(cls: Layer) -> Iterator[Subject]:
    """One per view that the encoder asks for; kinds of one view are the same to a layer."""
    for kind, view in {view: (kind, view) for kind, view in cls.facts.view.items()}.values():
        spec = SPECS[view]
        yield Subject(
            label=f"kind {kind}",
            construct=lambda width, spec=spec: cls(width, spec),  # type: ignore[misc]
            tokens=(spec.tokens,),
            call=_call,
            may_grow=not spec.grid and spec.tokens > 1,
        )


def _call(module: nn.Module, inputs: Sequence[Feature]) -> Feature:
    out: Feature = module(inputs[0])
    return out


def _each(check: Callable[[Subject], None], *, most: int = 9) -> Check[Layer]:
    """The module check for each view; ``most`` keeps slow ones short."""

    def check_all(cls: Layer) -> None:
        for subject in list(_subjects(cls))[:most]:
            check(subject)

    check_all.__doc__ = check.__doc__
    return check_all


ENCODER_CHECKS: dict[str, Check[Layer]] = {
    "facts": check_facts,
    "mask": check_mask,
    "padding": _each(module_checks.check_padding),
    "masked_rows": _each(module_checks.check_masked_rows),
    "batch_of_one": _each(module_checks.check_batch_of_one),
    "gradients": _each(module_checks.check_gradients),
    "device": _each(module_checks.check_device, most=2),
    "replay": _each(module_checks.check_replay, most=2),
    "gradcheck": _each(module_checks.check_gradcheck),
    "scale": _each(module_checks.check_scale),
    "state_dict": _each(module_checks.check_state_dict),
    "autocast": _each(module_checks.check_autocast),
    "compile": _each(module_checks.check_compile, most=2),
    "export": _each(module_checks.check_export, most=2),
}
