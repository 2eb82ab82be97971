"""HTTP/1.1 over loopback, with a journal, and with faults as a script says."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from .faults import Script
from .journal import Journal
from .messages import Answer, Headers, Request, Response, html_response
from .tls import Authority

_ENDED = (ConnectionError, TimeoutError, ssl.SSLError, OSError, ValueError)
"""What writing to a client that has gone raises; ValueError: to a closed file."""


class Router:
    """Answers by method and path: the first route whose pattern is the whole path."""

    def __init__(self, routes: Iterable[tuple[str, str, Callable[..., Response]]]) -> None:
        self._routes = [(method, re.compile(path), answer) for method, path, answer in routes]

    def __call__(self, request: Request) -> Response:
        for method, path, answer in self._routes:
            wanted = "GET" if request.method == "HEAD" else request.method
            if wanted == method and (match := path.fullmatch(request.path)):
                return answer(request, *match.groups())
        return html_response("nothing here", 404)


class Server:
    """One port, from its making to `close`."""

    def __init__(
        self,
        name: str,
        answer: Answer,
        journal: Journal,
        script: Script,
        *,
        host: str = "127.0.0.1",
        tls: Authority | None = None,
    ) -> None:
        self.name, self.answer, self.journal, self.script = name, answer, journal, script
        self.context = None if tls is None else tls.context()
        self.handshakes_failed = 0
        self.errors: list[BaseException] = []
        """What the server's own code raised: a defect of the server, not of its client."""
        self.stopping = threading.Event()
        self._http = _Http((host, 0), self)
        self.port = self._http.server_port
        self.host = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if tls is None else 'https'}://{self.host}:{self.port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end every connection, those that hang too."""
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.end_connections()
        self._http.server_close()


class Service:
    """Servers that belong together: one journal, one script. Use it in a `with` statement."""

    def __init__(self, *, tls: Authority | None = None, host: str = "127.0.0.1") -> None:
        self.journal, self.script = Journal(), Script()
        self.servers: dict[str, Server] = {}
        self._tls, self._host = tls, host

    def listen(self, name: str, answer: Answer, host: str | None = None) -> Server:
        server = Server(
            name, answer, self.journal, self.script, host=host or self._host, tls=self._tls
        )
        self.servers[name] = server
        return server

    def close(self) -> None:
        """Stop all servers. Raises what their own code raised, if it did."""
        for server in self.servers.values():
            server.close()
        errors = [error for server in self.servers.values() for error in server.errors]
        if errors:
            raise AssertionError(f"the test server failed: {errors[0]!r}") from errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], server: Server) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.ours = server
        self._open: set[socket.socket] = set()
        self._change = threading.Condition()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's own, which asks the name service for this machine's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, so that a handshake holds up nobody else."""
        connection = request
        with self._change:
            self._open.add(request)
        try:
            if self.ours.context is not None:
                try:
                    connection = self.ours.context.wrap_socket(request, server_side=True)
                except (OSError, ValueError):
                    self.ours.handshakes_failed += 1
                    return
                with self._change:
                    self._open.add(connection)
            self.RequestHandlerClass(connection, client_address, self)
        finally:
            if connection is not request:
                self.shutdown_request(connection)
            with self._change:
                self._open -= {request, connection}
                self._change.notify_all()

    def end_connections(self) -> None:
        with self._change:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._change.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "test-server/1", ""
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self) -> None:
        ours = self.server.ours
        length = self.headers.get("Content-Length", "0")
        request = Request(
            server=ours.name,
            method=self.command,
            target=self.path,
            headers=Headers({name.lower(): text for name, text in self.headers.items()}),
            body=self.rfile.read(int(length) if length.isdecimal() else 0),
            client=self.client_address[0],
            secure=ours.context is not None,
        )
        ours.journal.add(request)
        # A copy, as faults change what the service sees, and the journal keeps what came.
        seen = Request(**(vars(request) | {"headers": Headers(request.headers)}))
        try:
            response = ours.script.answer(seen, ours.answer)
        except Exception as error:
            ours.errors.append(error)
            response = html_response("the test server failed", 500)
        try:
            self._send(request, response)
        except _ENDED:
            self.close_connection = True
        finally:
            ours.journal.note(request, over=time.monotonic())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _send(self, request: Request, response: Response) -> None:
        ours = self.server.ours
        if response.wait and ours.stopping.wait(response.wait):
            self.close_connection = True
            return
        cut = response.drop_after
        if cut is not None and response.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if cut is not None and cut < 0:
            self.close_connection = True
            return
        body = b"" if request.method == "HEAD" else response.body
        head = self._head(response)
        ours.journal.note(request, status=response.status)
        if cut is not None or response.length is not None:
            self.close_connection = True
        if response.chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        if response.chunked and request.method != "HEAD":
            body += b"0\r\n\r\n"
        kept = body if cut is None else body[:cut]
        whole = cut is None or cut >= len(body)
        if response.drip is not None:
            self.wfile.write(head)
            size, pause = response.drip
            while len(kept) > size and not ours.stopping.is_set():
                self.wfile.write(kept[:size])
                ours.journal.note(request, sent=request.sent + size)
                kept = kept[size:]
                ours.stopping.wait(pause)
            head = b""
        # Written down first: a client that has everything finds it in the journal.
        sent = request.sent
        ours.journal.note(request, sent=sent + len(kept), done=time.monotonic() if whole else None)
        try:
            self.wfile.write(head + kept)
        except _ENDED:
            ours.journal.note(request, sent=sent, done=None)
            raise

    def _head(self, response: Response) -> bytes:
        headers = {"Date": self.date_time_string(), "Server": self.version_string()}
        headers |= response.headers
        if response.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif response.status not in (204, 304):
            length = len(response.body) if response.length is None else response.length
            headers["Content-Length"] = str(length)
        if response.length is not None:
            headers["Connection"] = "close"
        reason = self.responses.get(response.status, ("", ""))[0]
        lines = [f"HTTP/1.1 {response.status} {reason}"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
