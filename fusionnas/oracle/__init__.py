"""Oracle tables: every architecture of small fixed spaces, trained alone; ask instead of train."""

from fusionnas.oracle.problems import problem, problems
from fusionnas.oracle.table import Table, load

__all__ = ["Table", "load", "problem", "problems"]
