"""What a check of a body finds besides errors: what was changed in silence, ids to look up, values of a wrong type.

Does not know any rule.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import CodeSettings

WRONG_FORMAT = "Warning: wrong json format. "
Code = int | str
"""A code of the vendor, or the name of a setting that holds one; 0 accepts."""


@dataclass(slots=True)
class Findings:
    """Collects what rules find in one body."""

    codes: CodeSettings
    translate: Callable[[str], str] | None = None
    """Turns ids in texts into names, where the sender asked for it."""
    media: list[tuple[str, str]] = field(default_factory=list)
    """media_ids and the type of upload each has to be."""
    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    """Pictures that came inside the body: MD5 and bytes."""
    appids: list[str] = field(default_factory=list)
    """Mini programs the message leads to."""
    altered: list[Json] = field(default_factory=list)
    """Fields that are not shown as they were sent: `field`, `why`, and of a cut its `limit`, `unit` and `size`."""
    wrong_format: bool = False
    """A value had another type than the page says."""

    @property
    def errmsg(self) -> str:
        """The errmsg of a success."""
        return f"ok. {WRONG_FORMAT}" if self.wrong_format else "ok"

    def code(self, code: Code) -> int:
        """The number of a code, or the value of the setting it names."""
        return int(getattr(self.codes, code)) if isinstance(code, str) else code

    def refuse(self, code: Code, reason: str = "") -> None:
        """Refuse the body, unless the code is 0."""
        number = self.code(code)
        if number:
            raise Refused(number, reason if number == 40058 else "")

    def alter(self, path: str, why: str, **measured: Any) -> None:
        """Note that a field is not shown as it was sent."""
        self.altered.append({"field": path, "why": why, **measured})


@contextmanager
def warned(found: Findings) -> Iterator[None]:
    """Puts the wrong-format warning before the reason of a refusal inside, if a value had a wrong type."""
    try:
        yield
    except Refused as refused:
        if found.wrong_format:
            refused.reason = f"{WRONG_FORMAT}{refused.reason}"
        raise


def typed(body: Json, name: str, kind: type | tuple[type, ...], found: Findings, path: str = "") -> Any:
    """A value if it has the expected type; one of a wrong type is taken out and draws the wrong-format warning.

    The vendor parses what it can of such a body (page 90313); true and false are no numbers.
    """
    value = body.get(name)
    if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        return value
    found.wrong_format = True
    found.alter(f"{path}.{name}" if path else name, "wrong type")
    del body[name]
    return None


def above(path: str, most: int) -> str:
    """The observed text of 40058 for what is too long."""
    return f"{path} exceed max length {most}. invalid Request Parameter"
