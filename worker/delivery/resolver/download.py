"""Fetches a file from a URL: from public addresses unless others are allowed, within bounds of size and time."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from requests import Response
from requests.auth import HTTPBasicAuth

from worker.domain.content.address import Allowed
from worker.domain.content.message import CHUNK
from worker.domain.content.web import UnusableAddress, WebAddress, web_address
from worker.transport.session import (
    BAD_ADDRESS,
    MAX_REDIRECTS,
    NOT_ALLOWED,
    TOO_LARGE,
    TOO_MANY_REDIRECTS,
    Web,
    WebError,
)

PIECE = 64 * 1024
_LATER = frozenset({408, 425, 429})
"""Statuses besides 5xx after which a later try may succeed."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched file, in a temporary file that has to be closed."""

    content: BinaryIO = field(repr=False)
    size: int
    sha256: str

    def chunks(self) -> Iterator[bytes]:
        """Yields the content in pieces of at most 1 MiB."""
        self.content.seek(0)
        yield from iter(lambda: self.content.read(CHUNK), b"")

    def close(self) -> None:
        """Deletes the temporary file."""
        self.content.close()


@dataclass(frozen=True, slots=True)
class NotFetched:
    """A failure that no later try can mend; `reason` follows the words "the file behind its URL"."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """A failure after which a later try may succeed; `reason` is a fault, the answered status or a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The process is ending, and the fetch was broken off."""


Fetch = Fetched | NotFetched | TryLater | Stopped


class Downloads:
    """Fetches files behind URLs for one process. Thread-safe."""

    def __init__(
        self, web: Web, allowed: Allowed, *, deadline_s: float, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._web, self._allowed, self._deadline_s, self._stopping = web, allowed, deadline_s, stopping

    def fetch(self, url: str, max_bytes: int) -> Fetch:
        """Fetches a file of at most `max_bytes`, following redirects, all within one deadline."""
        try:
            return self._fetch(web_address(url), max_bytes)
        except UnusableAddress as error:
            return NotFetched(f"cannot be fetched: its address {error}")
        except WebError as error:
            if self._stopping():
                return Stopped()
            return _REFUSALS[error.reason](max_bytes) if error.reason in _REFUSALS else TryLater(error.reason)
        except OSError:
            # The connection's own errors are WebErrors, so it is the temporary file: a full disk, or no such folder.
            return TryLater("the temporary folder (TMPDIR) cannot be written; free space there")

    def _fetch(self, to: WebAddress, max_bytes: int) -> Fetch:
        # As bytes, because requests writes texts in Latin-1.
        user, _, password = (to.login or "").encode().partition(b":")
        login = None if to.login is None else HTTPBasicAuth(user, password)
        with self._web.session(
            self._deadline_s, max_bytes=max_bytes, permits=self._allowed.permits, stopping=self._stopping
        ) as session:
            answer = session.get(to.url, auth=login, stream=True)
            return _refusal(answer) or self._save(answer)

    def _save(self, answer: Response) -> Fetched | Stopped:
        """Writes the body into a temporary file."""
        # Not into memory, which may be too small, nor directly into the outbox: a transaction would be open for as long
        # as the other server takes.
        content = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  closed by the caller, or below
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in answer.iter_content(PIECE):
                digest.update(chunk)
                size += len(chunk)
                content.write(chunk)
                if self._stopping():
                    content.close()
                    return Stopped()
            content.flush()
        except BaseException:
            content.close()
            raise
        return Fetched(content, size, digest.hexdigest())


def _refusal(answer: Response) -> NotFetched | TryLater | None:
    """Returns why an answer is no file, or None if it is one."""
    status = answer.status_code
    if status >= 500 or status in _LATER:
        return TryLater(f"answered {status}")
    if status != 200:
        return NotFetched(f"cannot be fetched: the server answered {status}")
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # Whether the file itself is meant to be compressed, such as a .gz, is not known.
        return NotFetched("cannot be read: the server sent it compressed without being asked to")
    return None


_REFUSALS: dict[str, Callable[[int], NotFetched]] = {
    BAD_ADDRESS: lambda _: NotFetched("cannot be reached: a redirect leads to no http or https address"),
    TOO_MANY_REDIRECTS: lambda _: NotFetched(f"cannot be reached: more than {MAX_REDIRECTS} redirects"),
    NOT_ALLOWED: lambda _: NotFetched(
        "is not fetched: its address is not public; add the host to delivery.fetch_allow"
    ),
    TOO_LARGE: lambda max_bytes: NotFetched(f"is too large: the vendor accepts at most {max_bytes} bytes"),
}
"""What no later try can mend, by the session's fault."""
