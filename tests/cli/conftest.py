from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from fusionnas.cli.app import app
from fusionnas.cli.main import main  # registers the commands


@pytest.fixture
def fusionnas():
    """Run the command line in this process: ``fusionnas("list", "operators")``."""
    assert main

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="fusionnas")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
