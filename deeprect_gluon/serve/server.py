"""Run the application under uvicorn, with its limits."""

from __future__ import annotations

import asyncio
import signal

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP protocol; it also closes a connection whose request does not come.

    uvicorn limits the time between requests (`timeout_keep_alive`). Here the same limit holds from
    the start of the connection, or from the first byte of a request, to the end of the headers.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def configure(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8000,
    idle_timeout: int = 5,
    stop_timeout: int = 30,
    max_connections: int = 256,
) -> uvicorn.Config:
    """Return uvicorn's configuration.

    Parameters
    ----------
    app : FastAPI
        From `create_app`.
    host, port
        The address to listen at; port 0 takes a free one.
    idle_timeout : int
        Seconds for a request to come on an open connection.
    stop_timeout : int
        Seconds in which requests must finish when the server is told to stop.
    max_connections : int
        At a time; more are answered with 503.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PunctualProtocol,
        ws="none",
        timeout_keep_alive=idle_timeout,
        timeout_graceful_shutdown=stop_timeout,
        limit_concurrency=max_connections,
        server_header=False,
    )


def run(config: uvicorn.Config) -> None:
    """Serve until SIGTERM or SIGINT; then accept no more requests, finish the others and return.

    Raises
    ------
    SystemExit
        With a status other than 0 if the server cannot listen at its address; the log says why.
    """
    server = uvicorn.Server(config)
    # After it has stopped, uvicorn sends itself the signal again, for the handlers set before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run()
