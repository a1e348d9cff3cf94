"""A server of Python's own kind, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Answers meanwhile; the address. Afterwards the server is closed."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="serving", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
