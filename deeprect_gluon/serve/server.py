"""Run the application under uvicorn, with its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP protocol; it also ends a connection whose client keeps it waiting.

    uvicorn limits the time between requests (`timeout_keep_alive`), and starts anew at every byte.
    Here the same limit holds for a whole wait: from the start of the connection, or the end of an
    answer, until the next request has its headers, whatever comes or is left of the one before;
    and until the client reads what was sent.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer to its beginning is on its way already."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # the application's answer would follow this one
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _watch(self) -> None:
        cycle = self.cycle
        answering = cycle is not None and not (cycle.response_complete or cycle.disconnected)
        if answering and not self.flow.write_paused:  # the application has limits of its own
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

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
        Seconds that a client may take for a request's headers, or to read what it was sent.
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
    """Serve until SIGTERM or SIGINT; then accept no more, finish the others and end the process.

    The process ends with status 0, after `stop_timeout` at most.

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
    # Python would wait for a thread that still computes for a request that was given up.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
