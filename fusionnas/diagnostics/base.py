"""What a diagnostic is: a question about a finished run, or about data, and a measured answer.

A diagnostic is one file in ``fusionnas/diagnostics`` with one decorated function. It receives a subject and returns
findings; writing, printing and drawing them is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fusionnas.diagnostics.findings import Findings
from fusionnas.registry import Registry

if TYPE_CHECKING:
    from fusionnas.diagnostics.subject import Subject


@dataclass(frozen=True)
class DiagnosticFacts:
    """What ``fusionnas list diagnostics`` says.

    Attributes:
        question: what it answers, one line.
        source: author, title, year, arXiv or venue.
        departs: how this implementation departs from the source.
        trains: whether it trains further networks, which takes minutes where others take seconds.
    """

    question: str
    source: str
    departs: str
    trains: bool = False


class Diagnostic(Protocol):
    """A registered diagnostic of a run."""

    facts: DiagnosticFacts

    def __call__(self, subject: Subject) -> Findings:
        """Diagnose; a function of the run alone. Costly steps are units of the run."""


diagnostics: Registry[Diagnostic] = Registry("diagnostic", "fusionnas.diagnostics")


def register_diagnostic(
    name: str, facts: DiagnosticFacts
) -> Callable[[Callable[[Subject], Findings]], Diagnostic]:
    """Decorator: make a function known as ``name`` for ``fusionnas diagnose RUN --only``."""

    def add(function: Callable[[Subject], Findings]) -> Diagnostic:
        diagnostic: Any = function
        diagnostic.facts = facts
        return diagnostics.register(name)(diagnostic)

    return add


__all__ = ["Diagnostic", "DiagnosticFacts", "Findings", "diagnostics", "register_diagnostic"]
