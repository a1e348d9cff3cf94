"""One HTTP call as values: what to send, and what is certain about it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.account import DIRECT, Egress


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials of one call; never shown."""

    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    """The account's secret, for channels whose every call needs it (a webhook's key, an AES key)."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """A multipart upload, streamed: the bytes are read in chunks when the call is made, never held whole."""

    field_name: str
    filename: str
    content_type: str
    size: int
    open: Callable[[], Iterable[bytes]] = field(repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Form fields that are written before the file."""


@dataclass(frozen=True, slots=True)
class Request:
    """One vendor call. `query` may hold the access token, so it never appears in a `repr`.

    Channels leave `egress` alone: it is put in where the call is made for an account.
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
    authorization: str = field(default="", repr=False)
    """The `Authorization` header, of a firm's own service; empty: none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer was read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)
    duration_s: float = 0.0
    """Seconds from the first byte of the request to the last of the answer."""

    def retry_after_s(self) -> float | None:
        """Seconds of a numeric Retry-After header, else None."""
        value = self.headers.get("retry-after", "")
        return float(value.strip()) if value.strip().isdecimal() else None


class Unsent(StrEnum):
    """Why nothing left, where more follows from it than another try that counts."""

    DROPPED = "dropped"
    """The server had closed the kept connection: no attempt is counted."""
    DEADLINE = "deadline"
    """The deadline passed before the first byte, such as in a process that was stopped: no attempt is counted."""
    CLOSED_AT_ONCE = "closed_at_once"
    """The server took a new connection and closed it: the service behind it is down, and the account waits."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Certain: not one byte of the request reached the vendor. `reason` is a class such as `dns`, `refused`, `tls`."""

    reason: str
    duration_s: float
    cause: Unsent | None = None
    """What decides what follows; None: the part is tried again, and an attempt is counted."""
    remedy: str | None = None
    """What to change where no connection could be made; None: nothing, as far as is known."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Bytes may have left and no whole answer was read. `reason` is a class such as `read_timeout`, `reset`, `cut`."""

    reason: str
    duration_s: float


CallResult = Reply | NotSent | NoAnswer


def clean(text: str, limit: int) -> str:
    """A vendor's text made fit to store: no NUL, bounded length."""
    return text.replace("\x00", "\ufffd")[:limit]
