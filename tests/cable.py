"""A network between a browser and a server that can be cut: a TCP relay on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE_BYTES = 65536
LOOPBACK = "127.0.0.1"


class Cable:
    """Passes every connection on to a port, until it is cut."""

    def __init__(self, port: int) -> None:
        self._far = (LOOPBACK, port)
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._broken = threading.Event()
        self._listener: socket.socket | None = None
        self._near = (LOOPBACK, 0)
        self.swallows = False  # while True, what is sent, and for ever the connection it is sent on
        self.mend()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._near[1]}/"

    def mend(self) -> None:
        """Pass connections on, at the same address as before."""
        listener = socket.create_server(self._near, backlog=64)
        self._near = listener.getsockname()
        self._listener = listener
        self._broken.clear()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> int:
        """Refuse new connections and break those that there are; their number."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            self._listener.close()
            self._listener = None
        self._broken.set()
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # cut
            try:
                far = socket.create_connection(self._far)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            lost = threading.Event()
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(*ends, lost), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if self.swallows:
                    lost.set()
                if not lost.is_set():
                    sink.sendall(piece)
        if lost.is_set():
            self._broken.wait()  # until then nobody is told that the other end has gone
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ends.discard(source)
        source.close()


@contextmanager
def cable(port: int) -> Iterator[Cable]:
    laid = Cable(port)
    try:
        yield laid
    finally:
        laid.cut()
