# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A page over HTTP, to this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from axynq.emulator.errors import AxynqError, DataError

ADDRESS = "127.0.0.1"

NAMES = frozenset({ADDRESS, "localhost"})
"""What a browser may call this machine. Others may be names of strangers that lead here."""


class Server(ThreadingHTTPServer):
    """Serves one page, made anew for each request, at ``/``.

    Args:
        port: 0 takes a free one; :attr:`server_port` says which.
        page: makes the HTML.

    Raises:
        DataError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, port: int, page: Callable[[], str]) -> None:
        self.page = page
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"port {port} cannot be had: {reason}; give another") from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "axynq", ""
    timeout = 30

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in NAMES:
            self._answer(HTTPStatus.FORBIDDEN, "this page is for this machine alone", "text/plain")
        elif self.path.partition("?")[0] != "/":
            self._answer(HTTPStatus.NOT_FOUND, "there is only one page, /", "text/plain")
        else:
            try:
                self._answer(HTTPStatus.OK, self.server.page(), "text/html")
            except AxynqError as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "text/plain")

    def _answer(self, status: HTTPStatus, text: str, kind: str) -> None:
        content = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is written down."""
