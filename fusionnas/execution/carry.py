"""One task carried out, its exception turned into a failure that can travel."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from fusionnas.errors import FusionNASError, InputError, Stopped
from fusionnas.execution.base import Failure


def carry_out(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, Failure | None]:
    """(value, None) or (None, failure). Ctrl-C and the end of the process are no failures: they pass."""
    try:
        return function(*arguments), None
    except Stopped:
        return None, Failure("stopped", "asked to stop", "")
    except Exception as error:
        return None, failure_of(error)


def failure_of(error: Exception) -> Failure:
    """Our own errors in their words, others with the name of their class."""
    told = isinstance(error, (FusionNASError, InputError))
    text = str(error) if told else f"{type(error).__name__}: {error}".removesuffix(": ")
    return Failure("error", text, "".join(traceback.format_exception(error)))
