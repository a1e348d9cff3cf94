"""What each person sees now, and which persons saw the same thing twice.

Does not know how a message got here; of other vendors' messages it knows only `InboxEntry`. One message object is
shared by all persons it is shown to.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.texts import cut
from worker_simulator.wecom_app.state.apps import App

HIDDEN = frozenset({"markdown", "template_card", "miniprogram_notice"})
HOME_BYTES = 20


def in_wechat(msgtype: str, content: Json, *, home: bool) -> Json:
    """`same`, `nothing`, and for an app that always opens its home there the start of a text, else a `pointer`."""
    if msgtype in HIDDEN:
        return {"shows": "nothing"}
    if not home:
        return {"shows": "same"}
    if msgtype != "text":
        return {"shows": "pointer"}
    return {"shows": "text", "content": cut(str(content.get("content")), HOME_BYTES, "bytes", "dropped")}


class InboxEntry(Protocol):
    """What the inbox has to know of a message, whichever vendor showed it."""

    seq: int
    shown_to: list[str]

    @property
    def msgid(self) -> str:
        """The vendor's msgid, or what stands for it."""
        ...

    @property
    def semantic(self) -> str:
        """A text that is equal for messages that look alike."""
        ...

    def seen_by(self, person: str) -> dict[str, Any]:
        """What one person sees of it."""
        ...


@dataclass(slots=True, eq=False)
class InboxMessage:
    """A message as shown: `content` is after cuts, `altered` says what of it was changed in silence.

    `semantic` equals for messages that look alike. A message to a group chat has a `chatid` and no msgid ("").
    """

    msgid: str
    app: App
    agentid: int | None
    msgtype: str
    content: Json
    task_id: str | None
    sent_at: float
    seq: int
    semantic: str
    safe: int = 0
    altered: list[Json] = field(default_factory=list)
    chatid: str | None = None
    mentioned: frozenset[str] = frozenset()
    too_old: bool = False
    """Whether a control call ended its time for a recall."""
    shown_to: list[str] = field(default_factory=list)
    recipients: frozenset[str] = frozenset()
    recalled_at: float | None = None
    card_for_all: Json | None = None
    cards: dict[str, Json] = field(default_factory=dict)

    def seen_by(self, person: str) -> dict[str, Any]:
        """What one person sees of it."""
        return {
            "msgid": self.msgid or None,
            "chatid": self.chatid,
            "corpid": self.app.corpid,
            "agentid": self.agentid,
            "msgtype": self.msgtype,
            "content": self.content,
            "altered": self.altered,
            "safe": self.safe,
            "mentioned": person in self.mentioned,
            "task_id": self.task_id,
            "state": "shown" if self.recalled_at is None else "recalled",
            "update": self.cards.get(person, self.card_for_all),
            "in_wechat": in_wechat(self.msgtype, self.content, home=self.app.settings.wechat_plugin_home),
            "time": self.sent_at,
            "seq": self.seq,
        }


class Inbox:
    """All persons' messages, oldest first, recalled ones flagged."""

    def __init__(self) -> None:
        self._people: defaultdict[str, list[InboxEntry]] = defaultdict(list)
        self._alike: defaultdict[str, list[InboxEntry]] = defaultdict(list)
        self.log: list[InboxEntry] = []
        """Every message once, oldest first; `clear` begins a new list."""

    def show(self, message: InboxEntry, people: list[str]) -> None:
        """Show a message to people (lower-case ids)."""
        message.shown_to = people
        for person in people:
            self._people[person].append(message)
        self._alike[message.semantic].append(message)
        self.log.append(message)

    def clear(self) -> None:
        """Forget what every person saw."""
        self._people.clear()
        self._alike.clear()
        self.log = []

    def of(self, person: str) -> list[dict[str, Any]]:
        """What one person sees."""
        return [message.seen_by(person.lower()) for message in self._people.get(person.lower(), [])]

    def shown_to(self, person: str) -> list[InboxMessage]:
        """The messages of applications one person has, oldest first."""
        return [message for message in self._people.get(person.lower(), ()) if isinstance(message, InboxMessage)]

    def everybody(self) -> dict[str, list[dict[str, Any]]]:
        """What every person sees."""
        return {person: self.of(person) for person in self._people}

    def duplicates(self, marker: str | None = None) -> list[dict[str, Any]]:
        """Persons who were shown several messages that look alike, or have the same first match of `marker`."""
        found = re.compile(marker) if marker else None
        pairs = self._by_marker(found) if found else self._by_looks()
        return [
            {"user": person, "msgids": [m.msgid for m in messages], "seqs": [m.seq for m in messages]}
            for person, messages in pairs
            if len(messages) > 1
        ]

    def _by_looks(self) -> Iterator[tuple[str, list[InboxEntry]]]:
        for messages in self._alike.values():
            if len(messages) > 1:
                yield from _by_person(messages).items()

    def _by_marker(self, marker: re.Pattern[str]) -> Iterator[tuple[str, list[InboxEntry]]]:
        marked = [(match[0], m) for ms in self._alike.values() for m in ms if (match := marker.search(m.semantic))]
        marked.sort(key=lambda pair: (pair[0], pair[1].seq))
        for _, pairs in groupby(marked, key=lambda pair: pair[0]):
            yield from _by_person([message for _, message in pairs]).items()


def _by_person(messages: list[InboxEntry]) -> dict[str, list[InboxEntry]]:
    people: defaultdict[str, list[InboxEntry]] = defaultdict(list)
    for message in messages:
        for person in message.shown_to:
            people[person].append(message)
    return people
