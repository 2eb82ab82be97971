"""A real HTTP server on loopback whose answers, faults included, are scripted per path."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What is sent. `length` lies in Content-Length, `cut` ends the connection after so many
    bytes, `drip` waits before each byte, `hang` before everything; `ranges` honours Range."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    drip: float = 0.0
    hang: float = 0.0
    ranges: bool = False


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    time: float


class Server:
    """`on(path, first, second …)`: the last answer is repeated; a callable makes it anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self._answers: dict[str, list[Answer | Callable[[Asked], Answer]]] = {}
        self._lock = threading.Lock()

    def on(self, path: str, *answers: Answer | Callable[[Asked], Answer]) -> str:
        self._answers[path] = list(answers)
        return self.url + path

    def answers(self, path: str) -> list[Answer | Callable[[Asked], Answer]]:
        return self._answers[path]

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            answers = self._answers.get(asked.path.partition("?")[0], [Answer(status=404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Answer) else answer(asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client
    script: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body, time.monotonic())
        self.send(asked, self.script.answer(asked))

    def do_POST(self) -> None:
        self.do_GET()

    def send(self, asked: Asked, answer: Answer) -> None:
        self.script.closing.wait(answer.hang)
        status, headers, body = answer.status, dict(answer.headers), answer.body
        found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        if answer.ranges and found and status == 200:
            mark = asked.headers.get("if-range")
            if mark is None or mark == headers.get("ETag"):
                begin, total = int(found[1]), len(body)
                if begin >= total:
                    status, body = 416, b""
                    headers["Content-Range"] = f"bytes */{total}"
                else:
                    status, body = 206, body[begin:]
                    headers["Content-Range"] = f"bytes {begin}-{total - 1}/{total}"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        length = len(body) if answer.length is None else answer.length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        if answer.cut == -1:
            self.reset()
            return
        self.end_headers()
        self.wfile.flush()
        if answer.drip:
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.script.closing.wait(answer.drip):
                    return
        else:
            self.wfile.write(body[: answer.cut])
            self.wfile.flush()
        if answer.cut is not None or length != len(body):
            self.close_connection = True

    def reset(self) -> None:
        """End the connection with nothing sent."""
        self._headers_buffer: list[bytes] = []
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        pass  # a client that hangs up is part of the tests


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server on 127.0.0.1, with TLS where a context is given."""
    handler = type("Handler", (_Handler,), {})
    with _Quiet(("127.0.0.1", 0), handler) as http:
        if tls is not None:
            http.socket = tls.wrap_socket(
                http.socket, server_side=True, do_handshake_on_connect=False
            )
        script = Server(f"{'https' if tls else 'http'}://127.0.0.1:{http.server_port}")
        handler.script = script  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield script
        finally:
            script.closing.set()
            http.shutdown()
            thread.join()
