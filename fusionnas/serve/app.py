"""The HTTP side: routes, limits, and answers in words to what cannot be answered."""

# No postponed annotations here: FastAPI looks at the types of its routes, which are local to a function.

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fusionnas.errors import DataError
from fusionnas.serve.service import Service
from fusionnas.version import __version__


def make_app(service: Service, *, most_bytes: int) -> FastAPI:
    """The application.

    Args:
        service: what predicts.
        most_bytes: largest body of a request.
    """
    title = f"fusionnas: {service.opened.model.space.name}"
    app = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None)

    @app.exception_handler(HTTPException)
    async def told(request: Request, error: HTTPException) -> Response:
        if request.url.path == "/predict":
            service.metrics.request(error.status_code)
        detail = error.detail if isinstance(error.detail, dict) else {"error": error.detail}
        return JSONResponse(detail, error.status_code, headers=error.headers)

    @app.get("/", summary="What runs here, and where to ask.")
    async def root() -> dict[str, Any]:
        return {**service.about(), "routes": ["POST /predict", "GET /schema", "GET /health", "GET /metrics"]}

    @app.get("/health", summary="Whether predictions can be asked for.")
    async def health() -> dict[str, Any]:
        return service.about()

    @app.get("/schema", summary="JSON schema of one sample.")
    async def schema() -> dict[str, Any]:
        return service.schema

    @app.get("/metrics", summary="Counts for Prometheus.")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.post("/predict", summary='{"inputs": SAMPLE} or {"inputs": [SAMPLE, ...]} -> predictions.')
    async def predict(request: Request) -> dict[str, Any]:
        given = _inputs(await _body(request, most_bytes))
        samples = given if isinstance(given, list) else [given]
        try:
            found = await run_in_threadpool(service.predict, samples)
        except DataError as error:
            raise HTTPException(422, _told(error)) from error
        service.metrics.request(200)
        return {"predictions": found} if isinstance(given, list) else {"prediction": found[0]}

    return app


async def _body(request: Request, most: int) -> bytes:
    """The body, read no further than allowed."""
    too_large = HTTPException(413, f"the body is larger than {most:,} bytes; send fewer samples per request")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large
    return body


def _inputs(body: bytes) -> Any:
    try:
        data = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict) or set(data) != {"inputs"}:
        wanted = '{"inputs": SAMPLE} or {"inputs": [SAMPLE, ...]}'
        raise HTTPException(400, f"expected {wanted}; GET /schema describes a sample")
    return data["inputs"]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; use null for what is missing")


def _told(error: DataError) -> Any:
    return {"error": error.title, "problems": list(error.problems[:20]), "count": len(error.problems)}
