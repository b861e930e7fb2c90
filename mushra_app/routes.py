"""What the browser fetches beside the pages: signals by token, and a place for its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mushra_app.records import StoreError
from mushra_app.service import Service, service

PLAYER = Path(__file__).parent / "player"
SCRIPTS = {path.name: path for path in PLAYER.glob("*.js")}
MAX_ANSWER_BYTES = 512 * 1024  # two hundred events are a tenth of it
MAX_EVENTS = 500
# The same for every signal, whatever it is. `identity` keeps the compressing middleware away.
SIGNAL_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Encoding": "identity",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
NO_STORE = {"Cache-Control": "no-store"}


async def signal(request: Request) -> Response:
    """One signal; who asks must know its token."""
    body = await to_thread.run_sync(_body, service(), request.path_params["token"])
    if body is None:
        return Response(status_code=404, headers=NO_STORE)
    return Response(body, media_type="application/octet-stream", headers=SIGNAL_HEADERS)


def _body(at: Service, token: str) -> bytes | None:
    stimulus = at.stimulus(token)
    return None if stimulus is None else at.bodies.body(stimulus)


async def answers(request: Request) -> Response:
    """Store events and submissions; says which, so that the browser may forget them."""
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_ANSWER_BYTES:
            return _refusal(413, "too long")
    try:
        content = json.loads(raw)
        participant, events = content["participant"], content["events"]
        sound = isinstance(participant, str) and isinstance(events, list)
        sound = sound and all(_is_event(event) for event in events)
        if not sound or len(events) > MAX_EVENTS:
            raise ValueError("not a list of events")
    except (ValueError, KeyError, TypeError, RecursionError):
        return _refusal(400, "not readable")
    try:
        taken = await to_thread.run_sync(service().store.take, participant, events)
    except StoreError as error:
        return _refusal(403, str(error))
    return JSONResponse(taken, headers=NO_STORE)


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, dict)
        and isinstance(event.get("seq"), int)
        and 0 <= event["seq"] < 2**31
        and isinstance(event.get("nonce"), str)
        and 16 <= len(event["nonce"]) <= 64
        and isinstance(event.get("type"), str)
        and len(event["type"]) <= 20
    )


def _refusal(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers=NO_STORE)


async def script(request: Request) -> Response:
    """The player's own modules; only these files, by their names."""
    path = SCRIPTS.get(request.path_params["name"])
    if path is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type="text/javascript", headers=headers)


ROUTES = [
    Route("/api/signal/{token}", signal),
    Route("/api/answers", answers, methods=["POST"]),
    Route("/player/{name}", script),
]
