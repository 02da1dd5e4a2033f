"""Running the service until it is stopped."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from pathlib import Path

from fusionnas.errors import InputError, MissingExtraError


def run(trained: Path, *, host: str, port: int, most_samples: int, most_bytes: int, most_waiting: int) -> None:
    """Serve a run, an export or one of its files; returns on Ctrl-C or SIGTERM, open requests answered.

    Raises:
        MissingExtraError: FastAPI or uvicorn is not installed. InputError: the address cannot be used.
        RunError: there is no trained network.
    """
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"'fusionnas serve' needs {' and '.join(missing)}", ['pip install "fusionnas[serve]"'])
    import uvicorn

    from fusionnas.export.opened import open_trained
    from fusionnas.serve.app import make_app
    from fusionnas.serve.service import Service

    service = Service(open_trained(trained), most=most_samples)
    listening = _listen(host, port)
    app = make_app(service, most_bytes=most_bytes)
    config = uvicorn.Config(app, log_level="warning", limit_concurrency=most_waiting, timeout_graceful_shutdown=10)
    place = f"http://{host}:{listening.getsockname()[1]}"
    print(f"{service.opened.model.space.name} ({service.opened.form}) on {place}; Ctrl-C stops it", flush=True)
    # Being stopped is how a server ends; uvicorn passes the signal on when all requests are answered.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket: only then is the port known, and an address that cannot be used is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot listen on {host}:{port}: {why}; choose another --host or --port") from error
    listening.listen(128)
    return listening
