"""One HTTP call as values: the request, and its result, which says whether anything was sent and answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.account import DIRECT, Egress


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials of one call, which no `repr` shows."""

    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    """The account's secret, for channels whose every call needs it (a webhook's key, an AES key)."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """A multipart upload. Its bytes are read in chunks when the call is made, and are never in memory as a whole."""

    field_name: str
    filename: str
    content_type: str
    size: int
    open: Callable[[], Iterable[bytes]] = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Form fields that go before the file."""


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request of one vendor call. `query` may hold the access token, so no `repr` shows it.

    Channels do not set `egress`. The sender sets it for the account.
    """

    method: str
    base_url: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | FileBody | None = field(default=None, repr=False)
    content_type: str = "application/json"
    deadline_s: float = 20.0
    """Total time of the call in seconds, enforced by closing the socket."""
    egress: Egress = DIRECT


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    duration_s: float = 0.0
    """Seconds from the first byte of the request to the last of the answer."""

    def retry_after_s(self) -> float | None:
        """Returns the seconds of a numeric Retry-After header, else None."""
        value = self.headers.get("retry-after", "")
        return float(value.strip()) if value.strip().isdecimal() else None


class Unsent(StrEnum):
    """Causes for which nothing was sent that are handled otherwise than by a counted retry."""

    DROPPED = "dropped"
    """The server had closed the idle connection. No attempt is counted."""
    DEADLINE = "deadline"
    """The deadline passed before the first byte, such as in a process that was stopped. No attempt is counted."""
    CLOSED_AT_ONCE = "closed_at_once"
    """The server accepted a new connection and closed it: the service behind it is down, and the account waits."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Certainly no byte of the request reached the vendor. `reason` is a class such as `dns`, `refused`, `tls`."""

    reason: str
    duration_s: float
    cause: Unsent | None = None
    """A cause with a treatment of its own, or None if the part is tried again and an attempt is counted."""
    remedy: str | None = None
    """What to change if no connection could be made, or None if nothing is known."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Bytes may have been sent, but no complete answer came. `reason` is a class such as `read_timeout`, `cut`."""

    reason: str
    duration_s: float


CallResult = Reply | NotSent | NoAnswer
