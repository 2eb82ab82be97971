"""Downloads: whole or refused, and from where they may come."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ganctl import Unreachable, UserError, download, web

DATA = bytes(range(256)) * 8000
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/whole": (200, {"Content-Length": str(len(DATA))}, DATA),
    "/unannounced": (200, {}, DATA),
    "/short": (200, {"Content-Length": str(len(DATA))}, DATA[:-1]),
    "/elsewhere": (302, {"Location": "/whole"}, b""),
    "/private": (302, {"Location": "https://10.0.0.7/whole"}, b""),
    "/metadata": (302, {"Location": "https://169.254.169.254/whole"}, b""),
    "/named": (302, {"Location": "https://intranet.example/whole"}, b""),
    "/plain": (302, {"Location": "http://example.org/whole"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/around": (302, {"Location": "/around"}, b""),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = ANSWERS.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/whole", "/unannounced", "/elsewhere"])
def test_a_file_comes_whole(server: str, path: str) -> None:
    assert b"".join(download(server + path, len(DATA))) == DATA


@pytest.mark.parametrize(
    ("path", "limit", "why"),
    [
        ("/absent", 2**30, "404"),
        ("/short", 2**30, "2,047,999 bytes of 2,048,000 came"),
        ("/whole", 2_047_999, "2,048,000 bytes, more than the 2,047,999"),
        ("/unannounced", 2_047_999, "more than the 2,047,999"),
        ("/private", 2**30, "redirects to https://10.0.0.7/whole: an address in a private"),
        ("/metadata", 2**30, "an address in a private network"),
        ("/named", 2**30, "an address in a private network"),
        ("/plain", 2**30, "over https alone"),
        ("/file", 2**30, "file:///etc/passwd"),
        ("/around", 2**30, "redirect"),
    ],
)
def test_what_goes_wrong_is_one_line_with_the_address(
    server: str, path: str, limit: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        return resolve("192.168.1.1" if host == "intranet.example" else host, *rest)

    monkeypatch.setattr(web.socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unreachable, match="cannot download") as caught:
        list(download(server + path, limit))
    assert server + path in str(caught.value)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "https:///a", "x"],
)
def test_other_addresses_are_not_asked(url: str) -> None:
    with pytest.raises(UserError, match=r"https alone|not a web address"):
        list(download(url, 2**30))


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="cannot download"):
        list(download("http://127.0.0.1:1/a", 2**30))
