"""Any files at any paths, as a list of addresses may name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .messages import Request, Response, file_response, html_response, redirect
from .server import Service
from .tls import Authority

NO_AI = {"X-Robots-Tag": "noai, noimageai"}


class Files(Service):
    """`web`, and `elsewhere`: the same files from another port."""

    def __init__(self, *, tls: Authority | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(tls=tls, host=host)
        self._files: dict[str, tuple[bytes, str, Mapping[str, str]]] = {}
        self._redirects: dict[str, tuple[str, int]] = {}
        self.web = self.listen("web", self._answer)
        self.elsewhere = self.listen("elsewhere", self._answer)

    def add(
        self,
        path: str,
        content: bytes,
        content_type: str = "image/jpeg",
        headers: Mapping[str, str] | None = None,
        *,
        noai: bool = False,
    ) -> str:
        """Serve that; its address. `noai`: with `X-Robots-Tag: noai, noimageai`."""
        self._files[path] = content, content_type, dict(headers or {}) | (NO_AI if noai else {})
        return f"{self.web.url}{path}"

    def redirect(self, path: str, to: str, status: int = 302) -> str:
        """Send those who ask for a path to another one, or to any address."""
        self._redirects[path] = to, status
        return f"{self.web.url}{path}"

    def _answer(self, request: Request) -> Response:
        if request.path in self._redirects:
            return redirect(*self._redirects[request.path])
        if request.path not in self._files:
            return html_response("nothing here", 404)
        content, content_type, headers = self._files[request.path]
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return file_response(request, content, content_type, etag, headers=headers)
