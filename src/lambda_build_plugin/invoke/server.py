"""What the two HTTP servers have in common: the Runtime API and the Invoke API."""

from __future__ import annotations

import socket
import socketserver
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Conversation", "Server"]


class Server(ThreadingHTTPServer):
    """A server whose threads nobody waits for."""

    daemon_threads = True

    def __init__(self, host: str, port: int, conversation: type[Conversation]) -> None:
        """Bind a port; 0 takes any that is free.

        Raises:
            OSError: The port cannot be bound.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), conversation)

    def server_bind(self) -> None:
        """Bind the port without a look-up of the host's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to report."""


class Conversation(BaseHTTPRequestHandler):
    """Replies to the requests of one connection."""

    protocol_version = "HTTP/1.1"  # the client keeps its connection
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def reply(self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a reply; a client that has gone away does not get it."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        with suppress(ConnectionError):
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

    log_message: Callable[..., None] = lambda *_: None
