"""One HTTP request as it arrived.

Does not know what any path means, and how bytes become a request (`wire/`).
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]


@dataclass(slots=True)
class HttpRequest:
    """Method, path, query, headers (lower-case names) and body, with the caller's address and the call's number."""

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
        """Whether it talks to the simulator itself, by control or a page, and not to the vendor."""
        return self.path.startswith(("/_control", "/_inbox/")) or self.path == "/"

    @property
    def is_page(self) -> bool:
        """Whether it asks for a page, where it is ours."""
        return not self.path.startswith("/_control")

    def json(self) -> Any:
        """The body as JSON; ValueError when it is not."""
        return json.loads(self.body)


def from_target(method: str, target: str, ip: str, port: int) -> HttpRequest:
    """A request of which only the first line is known."""
    parts = urlsplit(target)
    return HttpRequest(method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), ip, port)
