"""What both kits share: the error, the running of checks, comparisons, and seeded building."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from fusionnas.errors import FusionNASError, RegistryError, did_you_mean

T = TypeVar("T")
Check = Callable[[T], None]


class ConformanceError(FusionNASError):
    """A part does not obey its contract; the message has one line per failed check."""


class Violation(FusionNASError):
    """One check failed; :func:`run_checks` collects them."""


def require(holds: object, message: str) -> None:
    """Raise :class:`Violation` with ``message`` unless ``holds``."""
    if not holds:
        raise Violation(message)


def require_close(given: Tensor, expected: Tensor, message: str, *, tolerance: float = 1e-5) -> None:
    """Require equal shapes and a largest absolute difference of at most ``tolerance`` times max(1, largest value)."""
    require(given.shape == expected.shape, f"{message}: shape {tuple(given.shape)}, expected {tuple(expected.shape)}")
    if given.numel() == 0:
        return
    given, expected = given.detach().double(), expected.detach().double()
    difference, scale = float((given - expected).abs().max()), max(1.0, float(expected.abs().max()))
    require(difference <= tolerance * scale, f"{message}: differs by {difference:.2g}, allowed {tolerance * scale:.2g}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator at ``seed`` inside; as it was, afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def run_checks(name: str, subject: T, checks: Mapping[str, Check[T]], only: str | None) -> None:
    """Run one check, or all of them, on ``subject``.

    Raises:
        ConformanceError: at least one check failed; all failures are told.
        RegistryError: ``only`` is no check.
    """
    if only is not None and only not in checks:
        raise RegistryError(f"'{only}' is not a check.{did_you_mean(only, checks)}")
    problems = []
    for title, check in checks.items():
        if only in (None, title):
            try:
                check(subject)
            except Violation as violation:
                problems.append(f"{title}: {violation}")
            except Exception as error:  # a crash is a failed check like any other, and the others still run
                text = str(error).strip().partition("\n")[0]
                problems.append(f"{title}: stops with {type(error).__name__}: {text}")
    if problems:
        raise ConformanceError("\n".join([f"{name} does not conform", *(f"  {problem}" for problem in problems)]))
