"""Fusion operators, one file each."""

from fusionnas.operators.base import FusionOperator, OperatorFacts, operators, register_operator

__all__ = ["FusionOperator", "OperatorFacts", "operators", "register_operator"]
