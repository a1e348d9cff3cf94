"""An HAProxy of a test's own between workers and the fake vendor, which answers in the vendor's place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rig.databases import Service
from rig.servers import own_server

PROGRAMS = Service("HAProxy", "PATH", "", "apt-get install haproxy")
USER = "haproxy"
PLACES = [Path("/usr/sbin")]
ANSWERS = (
    'status 502 content-type text/html string "<h1>bad gateway</h1>"',
    "status 503",
    "status 503 hdr Retry-After 1",
    "status 429 hdr Retry-After 1",
    "status 429",
    'status 200 content-type text/html string "<h1>please sign in</h1>"',
    "status 302 hdr Location http://portal.invalid/",
    'status 200 content-type application/json string "{ \\"errcode\\": 0"',
)
"""What it says although the vendor has taken the call."""
HONEST = 8
"""So many of sixteen answers are the vendor's own."""


@contextmanager
def running(vendor_port: int, paths: Sequence[str]) -> Iterator[Proxy]:
    """One before the vendor. Of the calls to these paths it passes all on, and answers half of them itself."""
    with own_server.folder("haproxy", USER) as folder:
        proxy = Proxy(folder, vendor_port, paths)
        proxy.start()
        try:
            yield proxy
        finally:
            proxy.end()


def found() -> bool:
    """Whether this machine has the program, and the user that its package makes."""
    return own_server.program("haproxy", usual=PLACES) is not None and own_server.can_be(USER)


class Proxy(own_server.Process):
    """A running proxy."""

    def __init__(self, folder: Path, vendor_port: int, paths: Sequence[str]):
        self.port, self._settings = own_server.free_port(), folder / "haproxy.cfg"
        self._paths, self._vendor_port = " ".join(paths), vendor_port
        self._write(itself=True)
        command = (str(own_server.program("haproxy", usual=PLACES)), "-db", "-f", str(self._settings))
        super().__init__(USER, command, folder / "out", lambda: own_server.listens(self.port), os.environ)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def die(self) -> None:
        """Dies with what it has buffered, and another one takes its place."""
        self.kill()
        self.start()

    def heal(self) -> None:
        """From now on it passes every answer on."""
        self._write(itself=False)
        self.end()
        self.start()

    def _write(self, *, itself: bool) -> None:
        answers = (
            f"http-response return {answer} if {{ var(txn.answer) -m int {number} }}"
            for number, answer in enumerate(ANSWERS if itself else ())
        )
        lines = (
            "bind 127.0.0.1:" + str(self.port),
            "option http-buffer-request",
            "acl message path " + self._paths,
            f"http-request set-var(txn.answer) rand({len(ANSWERS) + HONEST}) if message",
            *answers,
            f"server vendor 127.0.0.1:{self._vendor_port}",
        )
        settings = (
            "global\n  maxconn 400\ndefaults\n  mode http\n  retries 0\n  timeout connect 5s\n  timeout client 60s\n"
            "  timeout server 60s\nlisten vendor\n  " + "\n  ".join(lines) + "\n"
        )
        self._settings.write_text(settings, encoding="utf-8")
