"""What the checks of a body find: changed fields, ids to look up later, values of a wrong type."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import CodeSettings

WRONG_FORMAT = "Warning: wrong json format. "
Code = int | str
"""An errcode, or the name of a setting with one. 0 accepts the body."""


@dataclass(slots=True)
class Findings:
    """What the rules find in one body."""

    codes: CodeSettings
    translate: Callable[[str], str] | None = None
    """Replaces ids in a text by names, or None if the sender did not ask for it."""
    media: list[tuple[str, str]] = field(default_factory=list)
    """media_ids and the upload type that each must have."""
    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    """Pictures inside the body: MD5 and bytes."""
    appids: list[str] = field(default_factory=list)
    """Mini programs that the message links to."""
    altered: list[Json] = field(default_factory=list)
    """Fields that are not displayed as they were sent: `field`, `why`, and of a cut `limit`, `unit` and `size`."""
    wrong_format: bool = False
    """True if a value had another type than the vendor's page says."""

    @property
    def errmsg(self) -> str:
        """The errmsg of a success."""
        return f"ok. {WRONG_FORMAT}" if self.wrong_format else "ok"

    def code(self, code: Code) -> int:
        """Returns the errcode, or the value of the setting with this name."""
        return int(getattr(self.codes, code)) if isinstance(code, str) else code

    def refuse(self, code: Code, reason: str = "") -> None:
        """Refuses the body, unless the errcode is 0."""
        number = self.code(code)
        if number:
            raise Refused(number, reason if number == 40058 else "")

    def alter(self, path: str, why: str, **measured: Any) -> None:
        """Records that a field is not displayed as it was sent."""
        self.altered.append({"field": path, "why": why, **measured})


@contextmanager
def format_warnings(findings: Findings) -> Iterator[None]:
    """Puts the wrong-format warning before the reason of a refusal, if a value had a wrong type."""
    try:
        yield
    except Refused as refused:
        if findings.wrong_format:
            refused.reason = f"{WRONG_FORMAT}{refused.reason}"
        raise


def typed(body: Json, name: str, kind: type | tuple[type, ...], findings: Findings, path: str = "") -> Any:
    """Returns a value if it has the expected type, else None. A value of a wrong type is removed, and the answer warns.

    The vendor parses what it can of such a body (page 90313). true and false are not numbers.
    """
    value = body.get(name)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    findings.wrong_format = True
    findings.alter(f"{path}.{name}" if path else name, "wrong type")
    del body[name]
    return None


def too_long(path: str, limit: int) -> str:
    """Returns the observed text of 40058 for a value that is too long."""
    return f"{path} exceed max length {limit}. invalid Request Parameter"
