"""``fusionnas serve``: a trained network as an HTTP service."""

from __future__ import annotations

from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import AnyForm


@app.command()
def serve(
    trained: AnyForm,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    most_samples: Annotated[int, typer.Option("--max-samples", min=1, help="Samples per request, at most.")] = 256,
    most_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Bytes per request, at most.")] = 8_000_000,
    most_waiting: Annotated[int, typer.Option("--max-waiting", min=1, help="Requests at a time; more get 503.")] = 64,
) -> None:
    """Serve predictions over HTTP: POST /predict, GET /schema, /health, /metrics."""
    from fusionnas.serve.run import run

    run(trained, host=host, port=port, most_samples=most_samples, most_bytes=most_bytes, most_waiting=most_waiting)
