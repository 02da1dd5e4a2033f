"""Conformance of fusion operators: the list of checks, and how to run it."""

from __future__ import annotations

from collections.abc import Callable

from fusionnas.operators.base import FusionOperator, operators
from fusionnas.testing import module_checks, operator_checks
from fusionnas.testing.conformance import Check, run_checks
from fusionnas.testing.module_checks import Subject

Operator = type[FusionOperator]


def check_operator(operator: str | Operator, *, only: str | None = None) -> None:
    """Check that an operator, by name or class, obeys its contract.

    Args:
        operator: registered name or class.
        only: one of :data:`OPERATOR_CHECKS`; default all.

    Raises:
        ConformanceError: it does not; the message lists every failed check.
    """
    cls = operators[operator] if isinstance(operator, str) else operator
    run_checks(operator if isinstance(operator, str) else cls.__name__, cls, OPERATOR_CHECKS, only)


def operator_tests(*chosen: str | Operator) -> Callable[[str | Operator, str], None]:
    """A pytest function with one test per operator and check; for all registered operators if none is given."""
    import pytest

    @pytest.mark.parametrize("check", OPERATOR_CHECKS)
    @pytest.mark.parametrize("operator", chosen or tuple(operators))
    def test_operator(operator: str | Operator, check: str) -> None:
        check_operator(operator, only=check)

    return test_operator


def _each(check: Callable[[Subject], None], *, most: int = 3) -> Check[Operator]:
    """The module check for each number of inputs; ``most`` keeps slow ones short."""

    def check_all(cls: Operator) -> None:
        for subject in list(operator_checks.subjects(cls))[:most]:
            check(subject)

    check_all.__doc__ = check.__doc__
    return check_all


OPERATOR_CHECKS: dict[str, Check[Operator]] = {
    "facts": operator_checks.check_facts,
    "parameters": operator_checks.check_parameters,
    "macs": operator_checks.check_macs,
    "presence": operator_checks.check_presence,
    "absent": operator_checks.check_absent,
    "leading_block": operator_checks.check_leading_block,
    "order": operator_checks.check_order,
    "stacking": operator_checks.check_stacking,
    "padding": _each(module_checks.check_padding),
    "masked_rows": _each(module_checks.check_masked_rows),
    "batch_of_one": _each(module_checks.check_batch_of_one),
    "gradients": _each(module_checks.check_gradients),
    "device": _each(module_checks.check_device, most=1),
    "replay": _each(module_checks.check_replay, most=1),
    "gradcheck": operator_checks.check_gradcheck,
    "scale": _each(module_checks.check_scale),
    "state_dict": _each(module_checks.check_state_dict),
    "autocast": _each(module_checks.check_autocast),
    "compile": _each(module_checks.check_compile, most=1),
    "export": _each(module_checks.check_export, most=1),
}
