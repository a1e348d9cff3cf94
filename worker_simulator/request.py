"""One HTTP request as it arrived, and the body of a control call."""

import json
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]


@dataclass(slots=True)
class HttpRequest:
    """A request: method, path, query, headers (lower-case names), body, client address, and call number."""

    method: str
    path: str
    query: dict[str, str]
    ip: str = ""
    port: int = 0
    seq: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_ours(self) -> bool:
        """True for the control API and for pages, false for calls of the vendor's API."""
        return self.path.startswith(("/_control", "/_inbox/")) or self.path == "/"

    @property
    def is_page(self) -> bool:
        """True for a page, false for the control API. Only valid if `is_ours`."""
        return not self.path.startswith("/_control")

    def json(self) -> Any:
        """Returns the body parsed as JSON. Raises ValueError if it is not JSON in UTF-8."""
        # Of bytes `json.loads` also reads UTF-16 and UTF-32, and half characters.
        return json.loads(self.body.decode("utf-8-sig"))


def is_number(text: str) -> bool:
    """True for an id of decimal digits: ASCII, and no more than 64 bits hold."""
    return text.isascii() and text.isdecimal() and len(text) < 19


def from_target(method: str, target: str, ip: str, port: int) -> HttpRequest:
    """Returns a request from its request line. Headers and body are added as they arrive."""
    parts = urlsplit(target)
    return HttpRequest(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), ip, port)


class ControlBody(BaseModel):
    """The JSON body of a control call. A body with an unknown key is refused."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def read(cls, request: HttpRequest) -> Self:
        """Returns the body of a request, or raises ValueError with what is wrong. No body counts as `{}`."""
        return cls.model_validate(request.json() if request.body else {})
