"""The recipients of a job. Users compare without regard to case; order and the caller's spelling are kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LISTS: Mapping[str, str] = {
    "user": "users",
    "party": "parties",
    "tag": "tags",
    "chat": "chats",
    "customer": "customers",
    "email": "emails",
}
"""Kind of recipient -> name of its list in `Recipients`."""

EVERYONE = "@all"
GROUPS = ("parties", "tags", "everyone")
"""Keys of a spec that stand for members whom only the vendor, or the application, can name."""
INSTEAD_OF = "instead_of"
"""The key in a spec of the groups whose members it names one by one."""


def everyone_of(sender: str) -> str:
    """All customers, or groups, of one member."""
    return f"{EVERYONE} of {sender}"


def same_person(recipient: str) -> str:
    """A recipient's id without regard to case and to the width of its characters, by which persons are compared."""
    return unicodedata.normalize("NFKC", recipient).strip().casefold()


def _listed(value: str | Iterable[str | int] | None) -> tuple[str, ...]:
    """A list, or the vendor's `"a | b"`, as trimmed entries without repeats (case does not count)."""
    if value is None:
        return ()
    entries = value.split("|") if isinstance(value, str) else map(str, value)
    unique: dict[str, str] = {}
    for entry in entries:
        if trimmed := entry.strip():
            unique.setdefault(trimmed.lower(), trimmed)
    return tuple(unique.values())


@dataclass(frozen=True, slots=True)
class Recipients:
    """The recipients of one job: users, parties (departments), tags; or everyone, chats, customers, mail addresses."""

    users: tuple[str, ...] = ()
    """Userids of members, or Youdu accounts; case does not count."""
    parties: tuple[str, ...] = ()
    """Ids of departments."""
    tags: tuple[str, ...] = ()
    """Ids of the vendor's tags."""
    everyone: bool = False
    """True for a broadcast, which needs an account with `allow_everyone`."""
    chats: tuple[str, ...] = ()
    """Ids of chats, compared exactly."""
    customers: tuple[str, ...] = ()
    """Ids of external contacts, compared exactly."""
    emails: tuple[str, ...] = ()
    """Mail addresses; case does not count."""
    audience: str = ""
    """The broadcast's audience, where a channel has several (`groups`, `blackboards`, `all`)."""
    by_sender: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The customers or chats of each sending member; an empty list: all of that member's."""

    def __repr__(self) -> str:
        named = ", ".join(f"{len(ids)} {name}" for name in LISTS.values() if (ids := getattr(self, name)))
        return f"Recipients({named or ('everyone' if self.everyone else 'nobody')})"

    def __bool__(self) -> bool:
        return bool(
            self.users or self.parties or self.tags or self.everyone or self.chats or self.customers or self.emails
        )

    def broadcasts(self) -> tuple[str, ...]:
        """The names of the broadcasts: `@all`, or `@all of <member>` for each sender without named recipients."""
        if not self.everyone:
            return ()
        return tuple(everyone_of(sender) for sender, ids in self.by_sender if not ids) or (EVERYONE,)

    def count(self) -> int:
        """How many ids the job names; everyone, or everyone of a sender, counts as one."""
        named = len(self.users) + len(self.parties) + len(self.tags) + len(self.broadcasts())
        return named + len(self.chats) + len(self.customers) + len(self.emails)

    def to_json(self) -> dict[str, object]:
        """A plain dict without empty entries; `from_json` reads it back."""
        out: dict[str, object] = {}
        # Written out: a loop over the names takes four times as long, for each job of a producer.
        if self.users:
            out["users"] = list(self.users)
        if self.parties:
            out["parties"] = list(self.parties)
        if self.tags:
            out["tags"] = list(self.tags)
        if self.chats:
            out["chats"] = list(self.chats)
        if self.customers:
            out["customers"] = list(self.customers)
        if self.emails:
            out["emails"] = list(self.emails)
        if self.everyone:
            out["everyone"] = True
        if self.audience:
            out["audience"] = self.audience
        if self.by_sender:
            out["by_sender"] = [[sender, list(ids)] for sender, ids in self.by_sender]
        return out

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Recipients:
        """The inverse of `to_json`."""
        lists = {name: tuple(ids) for name in LISTS.values() if isinstance(ids := data.get(name), list)}
        senders = data.get("by_sender")
        return cls(
            **lists,
            everyone=bool(data.get("everyone")),
            audience=str(data.get("audience") or ""),
            by_sender=tuple((sender, tuple(named)) for sender, named in senders) if isinstance(senders, list) else (),
        )


def To(
    users: str | Iterable[str] | None = None,
    parties: str | Iterable[str | int] | None = None,
    tags: str | Iterable[str | int] | None = None,
) -> Recipients:
    """Recipients out of lists or the vendor's `"a | b"`; repeats are dropped without regard to case."""
    return Recipients(_listed(users), _listed(parties), _listed(tags))


def Everyone(audience: str = "") -> Recipients:
    """A broadcast, only for accounts that allow it (`allow_everyone = true`).

    `audience` selects one where the channel has several: `groups`, `blackboards` or `all` of a webhook.
    """
    return Recipients(everyone=True, audience=audience)


def AppChat(*chatids: str) -> Recipients:
    """Group chats made by the account's own app; one call each, without a msgid: such a send cannot be recalled."""
    return Recipients(chats=tuple(dict.fromkeys(chatids)))


def Chats(*ids: str) -> Recipients:
    """Chats of a message push webhook, one call each: ids of groups, single chats and blackboards, or userids."""
    return Recipients(chats=tuple(dict.fromkeys(ids)))


def Customers(named: Mapping[str, str | Iterable[str] | Recipients] | str | Iterable[str]) -> Recipients:
    """Customers (`external_userid`) by the member who will send to them: `{"zhangsan": ["wm1", "wm2"]}`.

    `{"zhangsan": Everyone()}`: all customers of that member, for accounts that allow broadcasts. Ids without a sender
    are given to the member who talked last with each customer. A sender with an empty list is left out.
    """
    if not isinstance(named, Mapping):
        return Recipients(customers=_exactly(named))
    return _sent_by(named, "customers")


def CustomerGroups(named: Mapping[str, str | Iterable[str] | Recipients]) -> Recipients:
    """Customer groups (`chat_id`) by the member who owns them: `{"zhangsan": ["wr1"]}`.

    `{"zhangsan": Everyone()}`: groups the member chooses from all of theirs, for accounts that allow broadcasts.
    """
    return _sent_by(named, "chats", "groups")


def _sent_by(named: Mapping[str, str | Iterable[str] | Recipients], name: str, audience: str = "") -> Recipients:
    """Recipients by sender. An empty tuple means all of a sender's, so a sender with an empty list is left out."""
    everyone = any(isinstance(ids, Recipients) for ids in named.values())
    listed = ((sender, () if isinstance(ids, Recipients) else _exactly(ids), ids) for sender, ids in named.items())
    by_sender = tuple((sender, exact) for sender, exact, ids in listed if exact or isinstance(ids, Recipients))
    lists = {name: tuple(dict.fromkeys(one for _, exact in by_sender for one in exact))}
    return Recipients(**lists, everyone=everyone, audience=audience, by_sender=by_sender)


def _exactly(value: str | Iterable[str]) -> tuple[str, ...]:
    """A list, or `"a | b"`, as trimmed entries without repeats; the vendor's ids are compared exactly."""
    entries = value.split("|") if isinstance(value, str) else value
    return tuple(dict.fromkeys(trimmed for entry in entries if (trimmed := entry.strip())))


def Emails(addresses: str | Iterable[str]) -> Recipients:
    """Mail addresses, as a list or the vendor's `"a | b"`."""
    return Recipients(emails=_listed(addresses))
