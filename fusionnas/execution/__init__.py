"""Where tasks run: in this process, in worker processes of this machine, or on a Ray cluster."""

from fusionnas.execution.base import Call, Ended, Executor, Failure, Limits, completed
from fusionnas.execution.choose import make_executor
from fusionnas.execution.inline import InlineExecutor
from fusionnas.execution.shared import Shared

__all__ = [
    "Call",
    "Ended",
    "Executor",
    "Failure",
    "InlineExecutor",
    "Limits",
    "Shared",
    "completed",
    "make_executor",
]
