"""Rules for values other than texts: numbers, flags, ids, choices."""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, typed
from worker_simulator.wecom_app.rules.nested import SingleFieldRule


@dataclass(frozen=True, slots=True)
class NumberRule(SingleFieldRule):
    """An integer. One outside `allowed` is displayed as `default`, if the vendor's page says so."""

    allowed: tuple[int, ...] = ()
    default: int = 0

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks the type, and replaces a value that is not allowed."""
        value = typed(body, self.name, int, findings, path)
        if self.allowed and value is not None and value not in self.allowed:
            findings.alter(f"{path}.{self.name}", "unknown value")
            body[self.name] = self.default


@dataclass(frozen=True, slots=True)
class Flag(SingleFieldRule):
    """true or false."""

    missing: Code = 0

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Check presence and type."""
        if typed(body, self.name, bool, findings, path) is None:
            findings.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Ratio(SingleFieldRule):
    """A number from `minimum` to `maximum`."""

    minimum: float
    maximum: float
    outside: Code
    missing: Code = 0

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks presence, type and range."""
        value = typed(body, self.name, (int, float), findings, path)
        if value is None:
            findings.refuse(self.missing, f"invalid param '{path}.{self.name}'")
        elif not self.minimum <= value <= self.maximum:
            findings.refuse(self.outside, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class MediaRule(SingleFieldRule):
    """A media_id of one upload type."""

    kind: str
    missing: Code = 41006

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Collects the media_id. The media store checks whether it exists."""
        value = typed(body, self.name, str, findings, path)
        if value:
            findings.media.append((value, self.kind))
        else:
            findings.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Appid:
    """A mini program's `appid`."""

    missing: Code = 0

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return ("appid",)

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Collects the appid. The app's settings say whether it is linked."""
        value = typed(body, "appid", str, findings, path)
        if value:
            findings.appids.append(value)
        else:
            findings.refuse(self.missing, f"invalid param '{path}.appid'")


@dataclass(frozen=True, slots=True)
class Userids(SingleFieldRule):
    """A list of userids or `@all`. Entries that are not strings are ignored."""

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks the types."""
        entries = typed(body, self.name, list, findings, path) or []
        if not all(isinstance(entry, str) for entry in entries):
            findings.wrong_format = True
            findings.alter(f"{path}.{self.name}", "wrong type")
            body[self.name] = [entry for entry in entries if isinstance(entry, str)]


@dataclass(frozen=True, slots=True)
class OptionId(SingleFieldRule):
    """The id of an option in the list `of`. An unknown id is replaced by that of the first option."""

    of: str

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Replaces an unknown id. The list was checked before."""
        value = typed(body, self.name, str, findings, path)
        ids = [entry["id"] for entry in body.get(self.of) or []]
        if value and value not in ids:
            findings.alter(f"{path}.{self.name}", "unknown value")
            body[self.name] = ids[0]
