"""What each person sees, and who saw the same message twice.

It also stores the messages of other vendors, as `InboxEntry`. All recipients of a message share one object.
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
    """Returns what the WeChat plugin shows: `same`, `nothing`, `text` or `pointer`.

    The last two are for an app that always opens its home page there: the beginning of a text, or only a pointer to the
    message.
    """
    if msgtype in HIDDEN:
        return {"shows": "nothing"}
    if not home:
        return {"shows": "same"}
    if msgtype != "text":
        return {"shows": "pointer"}
    return {"shows": "text", "content": cut(str(content.get("content")), HOME_BYTES, "bytes", "dropped")}


class InboxEntry(Protocol):
    """A message of any vendor, as the inbox needs it."""

    seq: int
    shown_to: list[str]

    @property
    def msgid(self) -> str:
        """The vendor's msgid, or an id in its place."""
        ...

    @property
    def appearance(self) -> str:
        """A text that is equal for messages that look alike."""
        ...

    def view_for(self, person: str) -> dict[str, Any]:
        """Returns what one person sees of it."""
        ...


@dataclass(slots=True, eq=False)
class InboxMessage:
    """A message as it is displayed. `content` is the content after cuts, and `altered` says what was changed.

    `appearance` is equal for messages that look alike. A message to a group chat has a `chatid` and an empty msgid.
    """

    msgid: str
    app: App
    agentid: int | None
    msgtype: str
    content: Json
    task_id: str | None
    sent_at: float
    seq: int
    appearance: str
    safe: int = 0
    altered: list[Json] = field(default_factory=list)
    chatid: str | None = None
    mentioned: frozenset[str] = frozenset()
    too_old: bool = False
    """True if a control call ended its time for a recall."""
    shown_to: list[str] = field(default_factory=list)
    recipients: frozenset[str] = frozenset()
    recalled_at: float | None = None
    card_for_all: Json | None = None
    cards: dict[str, Json] = field(default_factory=dict)

    def view_for(self, person: str) -> dict[str, Any]:
        """Returns what one person sees of it."""
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
    """The messages of all persons, oldest first. Recalled ones stay, with a flag."""

    def __init__(self) -> None:
        self._people: defaultdict[str, list[InboxEntry]] = defaultdict(list)
        self._by_appearance: defaultdict[str, list[InboxEntry]] = defaultdict(list)
        self.log: list[InboxEntry] = []
        """Every message once, oldest first. `clear` starts a new list."""

    def show(self, message: InboxEntry, people: list[str]) -> None:
        """Delivers a message to people (lower-case ids)."""
        message.shown_to = people
        for person in people:
            self._people[person].append(message)
        self._by_appearance[message.appearance].append(message)
        self.log.append(message)

    def clear(self) -> None:
        """Deletes all messages."""
        self._people.clear()
        self._by_appearance.clear()
        self.log = []

    def messages_of(self, person: str) -> list[dict[str, Any]]:
        """Returns what one person sees."""
        return [message.view_for(person.lower()) for message in self._people.get(person.lower(), [])]

    def messages_in(self, chatid: str) -> list[dict[str, Any]]:
        """Returns the messages to a group chat of an app, as a member sees them whom none of them mentions."""
        log = (message for message in self.log if isinstance(message, InboxMessage))
        return [message.view_for("") for message in log if message.chatid == chatid]

    def shown_to(self, person: str) -> list[InboxMessage]:
        """Returns the messages of apps that one person got, oldest first."""
        return [message for message in self._people.get(person.lower(), ()) if isinstance(message, InboxMessage)]

    def everyone(self) -> dict[str, list[dict[str, Any]]]:
        """Returns what every person sees."""
        return {person: self.messages_of(person) for person in self._people}

    def duplicates(self, marker: str | None = None) -> list[dict[str, Any]]:
        """Returns persons with several messages that look alike, or that have the same first match of `marker`."""
        pattern = re.compile(marker) if marker else None
        pairs = self._by_marker(pattern) if pattern else self._by_equal_appearance()
        return [
            {"user": person, "msgids": [m.msgid for m in messages], "seqs": [m.seq for m in messages]}
            for person, messages in pairs
            if len(messages) > 1
        ]

    def _by_equal_appearance(self) -> Iterator[tuple[str, list[InboxEntry]]]:
        for messages in self._by_appearance.values():
            if len(messages) > 1:
                yield from _by_person(messages).items()

    def _by_marker(self, marker: re.Pattern[str]) -> Iterator[tuple[str, list[InboxEntry]]]:
        matches = [
            (match[0], m) for ms in self._by_appearance.values() for m in ms if (match := marker.search(m.appearance))
        ]
        matches.sort(key=lambda pair: (pair[0], pair[1].seq))
        for _, pairs in groupby(matches, key=lambda pair: pair[0]):
            yield from _by_person([message for _, message in pairs]).items()


def _by_person(messages: list[InboxEntry]) -> dict[str, list[InboxEntry]]:
    people: defaultdict[str, list[InboxEntry]] = defaultdict(list)
    for message in messages:
        for person in message.shown_to:
            people[person].append(message)
    return people
