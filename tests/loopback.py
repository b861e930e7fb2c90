"""A web server on this machine that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; `requests` logs path and Range of each request.

    Attributes:
        drop_after: bytes of each answer after which the connection is closed.
        ranges: whether Range is honoured.
        status: an error status to answer with, for the first `times` requests.
        drip_s: pause between pieces of 1000 bytes.
        hang_after: bytes after which the server says nothing more.
        extra: bytes sent beyond the file.
        redirect: where every request is sent on to.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drop_after: int | None = None
    ranges: bool = True
    status: int | None = None
    times: int = 10**9
    drip_s: float | None = None
    hang_after: int | None = None
    extra: bytes = b""
    redirect: str | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The server's address, while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            behaviour.requests.append((self.path, asked))
            if behaviour.redirect:
                self.send_response(302)
                self.send_header("Location", behaviour.redirect)
                self.end_headers()
                return
            if behaviour.status and behaviour.times > 0:
                behaviour.times -= 1
                self.send_error(behaviour.status)
                return
            if self.path not in behaviour.files:
                self.send_error(404)
                return
            content = behaviour.files[self.path]
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if asked and behaviour.ranges:
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/*")
                content = content[start:]
            else:
                self.send_response(200)
            content += behaviour.extra
            if not behaviour.extra:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self._send(content)

        def _send(self, content: bytes) -> None:
            if behaviour.hang_after is not None:
                self.wfile.write(content[: behaviour.hang_after])
                self.wfile.flush()
                behaviour.released.wait(20)
                return
            if behaviour.drip_s is not None:
                for start in range(0, len(content), 1000):
                    self.wfile.write(content[start : start + 1000])
                    self.wfile.flush()
                    if behaviour.released.wait(behaviour.drip_s):
                        break
                return
            self.wfile.write(content[: behaviour.drop_after])

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client may leave at any time
                super().handle()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        behaviour.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
