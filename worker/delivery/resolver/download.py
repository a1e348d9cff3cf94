"""Fetches a file from a URL: from public addresses unless others are allowed, within bounds of size and time.

For each request, and each redirect, the name is resolved once, its addresses are checked, and the connection goes to an
address that passed. If the name resolves to another address a moment later, that changes nothing.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from worker.delivery.resolver.http_get import FetchError, Web, WebAnswer
from worker.domain.content.address import Allowed
from worker.domain.content.message import CHUNK
from worker.domain.content.web import UnusableAddress, WebAddress, web_address

REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
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


class _Refused(Exception):
    """Carries a NotFetched out of the steps."""


class _Stopping(Exception):
    """Carries a Stopped out of the steps."""


class Downloads:
    """Fetches files behind URLs for one process. Thread-safe."""

    def __init__(
        self,
        web: Web,
        allowed: Allowed,
        *,
        deadline_s: float,
        stopping: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._web, self._allowed = web, allowed
        self._deadline_s, self._stopping, self._monotonic = deadline_s, stopping, monotonic

    def fetch(self, url: str, max_bytes: int) -> Fetch:
        """Fetches a file of at most `max_bytes`, following redirects, all within one deadline."""
        try:
            return self._follow(web_address(url), max_bytes, self._monotonic() + self._deadline_s)
        except UnusableAddress as error:
            return NotFetched(f"cannot be fetched: its address {error}")
        except _Refused as error:
            return NotFetched(str(error))
        except FetchError as error:
            return TryLater(str(error))
        except _Stopping:
            return Stopped()
        except OSError:
            # The connection's own errors are FetchErrors, so it is the temporary file: a full disk, or no such folder.
            return TryLater("the temporary folder (TMPDIR) cannot be written; free space there")

    def _follow(self, to: WebAddress, max_bytes: int, until: float) -> Fetched:
        for _ in range(REDIRECTS + 1):
            result = self._request(to, max_bytes, until)
            if isinstance(result, Fetched):
                return result
            try:
                to = to.follow(result)
            except UnusableAddress:
                raise _Refused("cannot be reached: a redirect leads to no http or https address") from None
        raise _Refused(f"cannot be reached: more than {REDIRECTS} redirects")

    def _request(self, to: WebAddress, max_bytes: int, until: float) -> Fetched | str:
        """Returns the file, or the location of a redirect, from the first address that can be reached."""
        last_error = FetchError("deadline")
        for address in self._allowed_addresses(to):
            remaining_s = until - self._monotonic()
            if remaining_s <= 0:
                break
            if self._stopping():
                raise _Stopping
            try:
                with self._web.get(to, address, remaining_s, self._stopping) as answer:
                    return self._read(answer, max_bytes)
            except FetchError as error:
                last_error = error
        if self._stopping():
            raise _Stopping
        raise last_error

    def _allowed_addresses(self, to: WebAddress) -> list[str]:
        result = [
            address for address in self._web.addresses(to.host, to.port) if self._allowed.permits(to.host, address)
        ]
        if not result:
            raise _Refused("is not fetched: its address is not public; add the host to delivery.fetch_allow")
        return result

    def _read(self, answer: WebAnswer, max_bytes: int) -> Fetched | str:
        if answer.status in _REDIRECTS and "location" in answer.headers:
            return answer.headers["location"]
        if answer.status >= 500 or answer.status in _LATER:
            raise FetchError(f"answered {answer.status}")
        if answer.status != 200:
            raise _Refused(f"cannot be fetched: the server answered {answer.status}")
        if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise _Refused("cannot be read: the server sent it compressed without being asked to")
        # Checked before the body is read. The length may be missing or wrong, so the bytes are counted as well.
        announced = answer.headers.get("content-length", "")
        # No int(), which raises for more than 4,300 digits.
        if announced.isdecimal() and float(announced) > max_bytes:
            raise _too_large(max_bytes)
        return self._save(answer.chunks, max_bytes)

    def _save(self, chunks: Iterator[bytes], max_bytes: int) -> Fetched:
        """Writes the body into a temporary file."""
        # Not into memory, which may be too small, nor directly into the outbox: a transaction would be open for as long
        # as the other server takes.
        content = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  closed by the caller, or below
        try:
            return _written(content, self._bounded(chunks, max_bytes))
        except BaseException:
            content.close()
            raise

    def _bounded(self, chunks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
            if self._stopping():
                raise _Stopping
            yield chunk


def _written(content: BinaryIO, chunks: Iterator[bytes]) -> Fetched:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        content.write(chunk)
    content.flush()
    return Fetched(content, size, digest.hexdigest())


def _too_large(max_bytes: int) -> _Refused:
    return _Refused(f"is too large: the vendor accepts at most {max_bytes} bytes")
