"""Who a job is for. Users compare without regard to case; order and the caller's spelling are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def _listed(value: str | Iterable[str | int] | None) -> tuple[str, ...]:
    """A list, or the vendor's `"a | b"`, as trimmed entries without repeats (case does not count)."""
    if value is None:
        return ()
    entries = value.split("|") if isinstance(value, str) else [str(entry) for entry in value]
    unique: dict[str, str] = {}
    for entry in entries:
        trimmed = entry.strip()
        if trimmed:
            unique.setdefault(trimmed.lower(), trimmed)
    return tuple(unique.values())


@dataclass(frozen=True, slots=True)
class Recipients:
    """Users, parties (departments) and tags of one job, or everyone, or group chats."""

    users: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everyone: bool = False
    chats: tuple[str, ...] = ()
    """Ids of chats, compared exactly."""

    def __repr__(self) -> str:
        chats = f", {len(self.chats)} chats" if self.chats else ""
        return f"Recipients({len(self.users)} users, {len(self.parties)} parties, {len(self.tags)} tags{chats})"

    def __bool__(self) -> bool:
        return bool(self.users or self.parties or self.tags or self.everyone or self.chats)

    def count(self) -> int:
        """How many ids were asked for; everyone counts as one."""
        return len(self.users) + len(self.parties) + len(self.tags) + len(self.chats) + int(self.everyone)

    def to_json(self) -> dict[str, object]:
        """A plain dict without empty entries; `from_json` reads it back."""
        out: dict[str, object] = {}
        if self.users:
            out["users"] = list(self.users)
        if self.parties:
            out["parties"] = list(self.parties)
        if self.tags:
            out["tags"] = list(self.tags)
        if self.chats:
            out["chats"] = list(self.chats)
        if self.everyone:
            out["everyone"] = True
        return out

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Recipients:
        """The inverse of `to_json`."""

        def ids(name: str) -> tuple[str, ...]:
            value = data.get(name)
            return tuple(value) if isinstance(value, list) else ()

        return cls(ids("users"), ids("parties"), ids("tags"), bool(data.get("everyone")), ids("chats"))


def To(
    users: str | Iterable[str] | None = None,
    parties: str | Iterable[str | int] | None = None,
    tags: str | Iterable[str | int] | None = None,
) -> Recipients:
    """Recipients out of lists or the vendor's `"a | b"`; repeats are dropped without regard to case."""
    return Recipients(_listed(users), _listed(parties), _listed(tags))


def Everyone() -> Recipients:
    """A broadcast, only for accounts that allow it (`allow_everyone = true`)."""
    return Recipients(everyone=True)


def AppChat(*chatids: str) -> Recipients:
    """Group chats made by the account's own app; one call each, without a msgid: such a send cannot be recalled."""
    return Recipients(chats=tuple(dict.fromkeys(chatids)))
