"""Conformance kit: what every fusion operator and every encoder must obey, for authors of plug-ins and for us.

In a test file of a plug-in::

    from fusionnas.testing import operator_tests

    test_conformance = operator_tests("my_operator")

or, outside pytest, ``check_operator("my_operator")``, which raises :class:`ConformanceError` with all that is wrong.
"""

from fusionnas.testing.conformance import ConformanceError
from fusionnas.testing.encoder_kit import ENCODER_CHECKS, check_encoder, encoder_tests
from fusionnas.testing.operator_kit import OPERATOR_CHECKS, check_operator, operator_tests

__all__ = [
    "ENCODER_CHECKS",
    "OPERATOR_CHECKS",
    "ConformanceError",
    "check_encoder",
    "check_operator",
    "encoder_tests",
    "operator_tests",
]
