"""``fusionnas schema``: the space file as a JSON schema."""

from __future__ import annotations

from fusionnas.cli.app import app
from fusionnas.cli.options import print_json


@app.command()
def schema() -> None:
    """Print the JSON schema of space files, for editors that complete and check."""
    from fusionnas.space import json_schema

    print_json(json_schema())
