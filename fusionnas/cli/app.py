"""The typer application that the commands register with, and what every end of a command has in common.

Exit status: 0 done, 2 the user's input is wrong, 130 interrupted, 1 anything else.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from fusionnas.errors import FusionNASError, InputError, RunInterrupted


class Commands(TyperGroup):
    """The group of all commands; turns our errors and interruptions into messages and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            outcome = super().invoke(ctx)
            sys.stdout.flush()
            return outcome
        except BrokenPipeError:
            # The reader (head, less) has enough: what is left goes nowhere, also at the interpreter's end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (FusionNASError, InputError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
        except KeyboardInterrupt as error:
            how = f"; `fusionnas resume {error.path}` goes on" if isinstance(error, RunInterrupted) else ""
            print(f"interrupted{how}", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
