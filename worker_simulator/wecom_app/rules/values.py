"""Rules of values other than text: numbers, flags, ids, choices.

Does not know which of them there are.
"""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, typed
from worker_simulator.wecom_app.rules.nested import OfField


@dataclass(frozen=True, slots=True)
class NumberRule(OfField):
    """An integer; one outside `known` is shown as `otherwise`, where the page says so."""

    known: tuple[int, ...] = ()
    otherwise: int = 0

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the type, and put the other value in the place of an unknown one."""
        value = typed(body, self.name, int, found, path)
        if self.known and value is not None and value not in self.known:
            found.alter(f"{path}.{self.name}", "unknown value")
            body[self.name] = self.otherwise


@dataclass(frozen=True, slots=True)
class Flag(OfField):
    """true or false."""

    missing: Code = 0

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence and type."""
        if typed(body, self.name, bool, found, path) is None:
            found.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Ratio(OfField):
    """A number from `least` to `most`."""

    least: float
    most: float
    outside: Code
    missing: Code = 0

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence, type and both bounds."""
        value = typed(body, self.name, (int, float), found, path)
        if value is None:
            found.refuse(self.missing, f"invalid param '{path}.{self.name}'")
        elif not self.least <= value <= self.most:
            found.refuse(self.outside, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class MediaRule(OfField):
    """A media_id of one type of upload."""

    kind: str
    missing: Code = 41006

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Note the id; whether it exists is for the media store to say."""
        value = typed(body, self.name, str, found, path)
        if value:
            found.media.append((value, self.kind))
        else:
            found.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Appid:
    """A mini program, by `appid`."""

    missing: Code = 0

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return ("appid",)

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Note the appid; whether it is linked is for the app's settings to say."""
        value = typed(body, "appid", str, found, path)
        if value:
            found.appids.append(value)
        else:
            found.refuse(self.missing, f"invalid param '{path}.appid'")


@dataclass(frozen=True, slots=True)
class Userids(OfField):
    """A list of userids, or of `@all`; entries that are no strings are not read."""

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the types."""
        entries = typed(body, self.name, list, found, path) or []
        if not all(isinstance(entry, str) for entry in entries):
            found.wrong_format = True
            found.alter(f"{path}.{self.name}", "wrong type")
            body[self.name] = [entry for entry in entries if isinstance(entry, str)]


@dataclass(frozen=True, slots=True)
class FirstOf(OfField):
    """The id of one entry of the list `of`; an unknown one is taken for the first entry's."""

    of: str

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Put the first entry's id in the place of an unknown one; the list was checked before."""
        value = typed(body, self.name, str, found, path)
        ids = [entry["id"] for entry in body.get(self.of) or []]
        if value and value not in ids:
            found.alter(f"{path}.{self.name}", "unknown value")
            body[self.name] = ids[0]
