"""The server process: one, on loopback unless told otherwise, that says nothing of what people write."""

import logging
import signal
import socket
from types import FrameType

import uvicorn

from stages.human_eval.app import make_app
from stages.human_eval.site import Site
from stages.records.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bind(host: str, port: int) -> socket.socket:
    """Take the port, so that it is known to be free before any model is loaded; 0 takes any.

    Raises:
        InputError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}: choose another PORT") from None
    return listener


def configure(site: Site) -> uvicorn.Config:
    """Return how the server is to run. There is no access log: it could tell who said what."""
    config = uvicorn.Config(
        make_app(site),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=20,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=32 * 1024,
    )
    logging.getLogger("uvicorn.access").disabled = True  # whatever handlers a host program has
    return config


class Stoppable(uvicorn.Server):
    """Ends by itself when it is told to: first the streams, which else would keep it, then everything."""

    def __init__(self, site: Site):
        """Serve this site."""
        super().__init__(configure(site))
        self._site = site

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; the second Ctrl-C does not wait for anybody."""
        self._site.answers.stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(site: Site, listener: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM, and return."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    Stoppable(site).run(sockets=[listener])
