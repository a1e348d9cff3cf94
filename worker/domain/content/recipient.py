"""The recipients of a job. Users are compared without regard to case; order and the caller's spelling stay."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from worker.domain.errors import CheckFailed, Problem
from worker.domain.stored import stored_object

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
"""Keys of a spec for groups whose members only the vendor, or the application, can name."""
INSTEAD_OF = "instead_of"
"""The key in a spec for the groups whose members the spec names one by one."""


def everyone_of(sender: str) -> str:
    """Returns the name for all customers, or groups, of one member."""
    return f"{EVERYONE} of {sender}"


def same_person(recipient: str) -> str:
    """Returns a recipient's id in one case and one width of characters, to compare persons.

    Used to find and erase persons, and for staging. Sending ignores only case, as vendors do: two ids that differ in
    width may be two members, and both get the message.
    """
    return unicodedata.normalize("NFKC", recipient).strip().casefold()


def parse_ids(value: str | Iterable[str | int] | None, field: str) -> tuple[str, ...]:
    """Returns the ids of a list, or of the vendor's `"a | b"`, trimmed and without repeats, whatever their case.

    Raises CheckFailed, which names `field`, for anything else.
    """
    if value is None:
        return ()
    unique: dict[str, str] = {}
    for entry in _entries(value, field, (str, Integral)):
        if trimmed := entry.strip():
            unique.setdefault(trimmed.lower(), trimmed)
    return tuple(unique.values())


def _entries(value: object, field: str, kinds: tuple[type, ...]) -> Iterable[str]:
    """Returns the entries of a list of these types, or of the vendor's `"a | b"`. None has no entries."""
    if value is None:
        return ()
    if isinstance(value, str):
        return value.split("|")
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise CheckFailed(
            [Problem(field, "is neither a text nor a list of them", 'write it as "a", "a|b" or ["a", "b"]')]
        )
    entries = list(value)
    # Most lists hold plain texts alone, and the full check of a list takes ten times as long.
    if all(type(entry) is str for entry in entries):
        return entries
    wrong_places = [n for n, entry in enumerate(entries) if not isinstance(entry, kinds) or isinstance(entry, bool)]
    if wrong_places:
        count, first = len(wrong_places), wrong_places[0]
        text = f"has entries that are not ids: {count}, the first at place {first}"
        raise CheckFailed([Problem(field, text, 'write each id as a text, such as "2"')])
    return map(str, entries)


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
    form: str = field(default="", compare=False)
    """The function that made them where another one makes the same lists, such as `AppChat`; it is not stored."""

    def __repr__(self) -> str:
        named = ", ".join(f"{len(ids)} {name}" for name in LISTS.values() if (ids := getattr(self, name)))
        return f"Recipients({named or ('everyone' if self.everyone else 'nobody')})"

    def __bool__(self) -> bool:
        return bool(
            self.users or self.parties or self.tags or self.everyone or self.chats or self.customers or self.emails
        )

    def broadcasts(self) -> tuple[str, ...]:
        """Returns the names of the broadcasts: `@all`, or `@all of <member>` for senders without named recipients."""
        if not self.everyone:
            return ()
        return tuple(everyone_of(sender) for sender, ids in self.by_sender if not ids) or (EVERYONE,)

    def count(self) -> int:
        """Returns how many ids the job names. Everyone, or everyone of a sender, counts as one."""
        named = len(self.users) + len(self.parties) + len(self.tags) + len(self.broadcasts())
        return named + len(self.chats) + len(self.customers) + len(self.emails)

    def to_json(self) -> dict[str, object]:
        """Returns a dict without empty entries, which `from_json` reads."""
        result: dict[str, object] = {}
        # Written out: a loop over the names takes four times as long, for each job of a producer.
        if self.users:
            result["users"] = list(self.users)
        if self.parties:
            result["parties"] = list(self.parties)
        if self.tags:
            result["tags"] = list(self.tags)
        if self.chats:
            result["chats"] = list(self.chats)
        if self.customers:
            result["customers"] = list(self.customers)
        if self.emails:
            result["emails"] = list(self.emails)
        if self.everyone:
            result["everyone"] = True
        if self.audience:
            result["audience"] = self.audience
        if self.by_sender:
            result["by_sender"] = [[sender, list(ids)] for sender, ids in self.by_sender]
        return result

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Recipients:
        """Returns the recipients of a dict that `to_json` returned."""
        lists: dict[str, Any] = {name: tuple(ids) for name in LISTS.values() if isinstance(ids := data.get(name), list)}
        senders = data.get("by_sender")
        return cls(
            **lists,
            everyone=bool(data.get("everyone")),
            audience=str(data.get("audience") or ""),
            by_sender=tuple((sender, tuple(named)) for sender, named in senders) if isinstance(senders, list) else (),
        )


def stored_recipients(text: str) -> Recipients | None:
    """Returns the recipients of a job's column, or None if no release of ours wrote it in this form."""
    data = stored_object(text)
    return None if data is None or not is_stored_form(data) else Recipients.from_json(data)


def stored_spec(text: str) -> dict[str, Any] | None:
    """Returns the spec of a part's column, or None if its recipients cannot be read."""
    spec = stored_object(text)
    if spec is None or not is_stored_form(spec) or not is_stored_form(spec.get(INSTEAD_OF, {})):
        return None
    return spec if isinstance(spec.get("sender", ""), str | None) else None


def is_stored_form(data: Any) -> bool:
    """Returns whether a document has its recipients in the form of `Recipients.to_json`."""
    if not isinstance(data, dict):
        return False
    senders = data.get("by_sender", [])
    return all(_is_text_list(data[name]) for name in LISTS.values() if name in data) and (
        isinstance(senders, list)
        and all(isinstance(entry, list) and len(entry) == 2 and _is_text_list(entry[1]) for entry in senders)
        and _is_text_list([entry[0] for entry in senders])
    )


def _is_text_list(value: Any) -> bool:
    # By the set of types: a hundred thousand recipients are looked at in a millisecond.
    return isinstance(value, list) and {*map(type, value)} <= {str}


def To(
    users: str | Iterable[str] | None = None,
    parties: str | Iterable[str | int] | None = None,
    tags: str | Iterable[str | int] | None = None,
) -> Recipients:
    """Recipients out of lists or the vendor's `"a | b"`; repeats are dropped without regard to case."""
    return Recipients(parse_ids(users, "users"), parse_ids(parties, "parties"), parse_ids(tags, "tags"))


def Everyone(audience: str = "") -> Recipients:
    """A broadcast, only for accounts that allow it (`allow_everyone = true`).

    `audience` selects one where the channel has several: `groups`, `blackboards` or `all` of a webhook.
    """
    return Recipients(everyone=True, audience=audience)


def AppChat(*chatids: str) -> Recipients:
    """Group chats made by the account's own app; one call each, without a msgid: such a send cannot be recalled."""
    return Recipients(chats=tuple(dict.fromkeys(_entries(chatids, "chatid", (str,)))), form="AppChat")


def Chats(*ids: str) -> Recipients:
    """Chats of a message push webhook, one call each: ids of groups, single chats and blackboards, or userids."""
    return Recipients(chats=tuple(dict.fromkeys(_entries(ids, "chatid", (str,)))), form="Chats")


def Customers(named: Mapping[str, str | Iterable[str] | Recipients] | str | Iterable[str]) -> Recipients:
    """Customers (`external_userid`) by the member who will send to them: `{"zhangsan": ["wm1", "wm2"]}`.

    `{"zhangsan": Everyone()}`: all customers of that member, for accounts that allow broadcasts. Ids without a sender
    are given to the member who talked last with each customer. A sender with an empty list is left out.
    """
    if not isinstance(named, Mapping):
        return Recipients(customers=_exact_ids(named, "external_userid"), form="Customers")
    return _by_sender("Customers", named, "customers", "external_userid")


def CustomerGroups(named: Mapping[str, str | Iterable[str] | Recipients]) -> Recipients:
    """Customer groups (`chat_id`) by the member who owns them: `{"zhangsan": ["wr1"]}`.

    `{"zhangsan": Everyone()}`: groups the member chooses from all of theirs, for accounts that allow broadcasts.
    """
    if not isinstance(named, Mapping):
        raise CheckFailed([Problem("sender", "is not given", 'use CustomerGroups({"zhangsan": ["wr1"]})')])
    return _by_sender("CustomerGroups", named, "chats", "chat_id_list", "groups")


def _by_sender(
    form: str, named: Mapping[str, str | Iterable[str] | Recipients], name: str, field: str, audience: str = ""
) -> Recipients:
    """Returns recipients by sender. An empty tuple means all of a sender's, so a sender with an empty list has none."""
    named = dict(zip(_entries(list(named), "sender", (str,)), named.values(), strict=True))
    everyone = any(isinstance(ids, Recipients) for ids in named.values())
    entries = (
        (sender, () if isinstance(ids, Recipients) else _exact_ids(ids, field), ids) for sender, ids in named.items()
    )
    by_sender = tuple((sender, exact) for sender, exact, ids in entries if exact or isinstance(ids, Recipients))
    lists = {name: tuple(dict.fromkeys(id for _, exact in by_sender for id in exact))}
    return Recipients(**lists, everyone=everyone, audience=audience, by_sender=by_sender, form=form)


def _exact_ids(value: str | Iterable[str], field: str) -> tuple[str, ...]:
    """Returns the ids of a list, or of `"a | b"`, trimmed and without exact repeats."""
    entries = _entries(value, field, (str,))
    return tuple(dict.fromkeys(trimmed for entry in entries if (trimmed := entry.strip())))


def Emails(addresses: str | Iterable[str]) -> Recipients:
    """Mail addresses, as a list or the vendor's `"a | b"`."""
    return Recipients(emails=parse_ids(addresses, "emails"), form="Emails")
