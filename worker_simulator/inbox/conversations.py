"""An index of all messages by conversation. It is updated when a page is requested.

Calls of the vendor's API do not pay for the index. A long update lets them run in between.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from worker_simulator.inbox.query import ConversationKey
from worker_simulator.settings import AppSettings, WebhookKey
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import kind_of
from worker_simulator.wire.callbacks import Callback
from worker_simulator.youdu.events import YouduCallbackTarget
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

LogItem = InboxMessage | DeliveredMessage | YouduNotice | Post | GroupSendTask | Callback
PIECE = 200
"""How many entries are indexed before other tasks may run: less than a millisecond."""
NUMBER = 32
"""Bits of a number in a reference, enough for any log."""

Reference = int
"""An entry as one number, in the order of the conversation: order, then log, place in it and whether it is missing.

Python's collector of garbage follows neither numbers nor tuples of texts. With entries as objects it stopped
everything for up to half a second while 100,000 conversations were put into the index.
"""
KeyParts = tuple[str, ...]
"""The parts of a `ConversationKey`, which is itself such a tuple."""
Index = dict[Any, "Reference | list[Reference]"]
"""Key -> one reference, or several in order."""


@dataclass(frozen=True, slots=True)
class ConversationEntry:
    """A message, a group send or an action of a person in a conversation."""

    order: tuple[int, int]
    """The number of its call (of an action, of the last call before it), then its position among actions."""
    item: LogItem
    missing: bool = False
    """True if the message was sent to this person and dropped without an error."""


class Entries(Sequence[ConversationEntry]):
    """The entries of one conversation, oldest first. Each is created when it is read."""

    def __init__(self, logs: Sequence[Sequence[LogItem]], references: Sequence[Reference]) -> None:
        self._logs, self._references = logs, references

    def __len__(self) -> int:
        return len(self._references)

    @overload
    def __getitem__(self, at: int) -> ConversationEntry: ...
    @overload
    def __getitem__(self, at: slice) -> list[ConversationEntry]: ...
    def __getitem__(self, at: int | slice) -> ConversationEntry | list[ConversationEntry]:
        if isinstance(at, slice):
            return [entry_of(self._logs, reference) for reference in self._references[at]]
        return entry_of(self._logs, self._references[at])


@dataclass(frozen=True, slots=True)
class Conversation:
    """All entries between one person or chat and one app."""

    key: ConversationKey
    entries: Entries


class Conversations:
    """All conversations, ordered by their newest entry."""

    def __init__(self, state: VendorState) -> None:
        self._catching_up = asyncio.Lock()
        self._begin(state)

    def _begin(self, state: VendorState) -> None:
        messages: Any = state.inbox.log
        self._state, self._log = state, messages
        self._references: OrderedDict[KeyParts, Reference | list[Reference]] = OrderedDict()
        self._by_call: Index = {}
        self._read = [0, 0, 0, 0, 0]
        self._pending_references: Iterator[tuple[ConversationKey, Reference]] | None = None

    async def catch_up(self, state: VendorState) -> None:
        """Adds what was logged since the last update. A cancelled update is continued by the next one."""
        async with self._catching_up:
            if state is not self._state or state.inbox.log is not self._log:
                self._begin(state)
            self._pending_references = self._pending_references or self._new_references(state)
            for count, (key, reference) in enumerate(self._pending_references, 1):
                parts = tuple(key)
                _put(self._references, parts, reference)
                self._references.move_to_end(parts)
                if count % PIECE == 0:
                    await asyncio.sleep(0)
            self._pending_references = None

    @property
    def _logs(self) -> Sequence[Sequence[LogItem]]:
        """The logs that were read, even if the inbox was cleared since."""
        return self._log, *logs(self._state)[1:]

    def newest(self) -> Iterator[KeyParts]:
        """Yields the keys of all conversations, the one with the newest entry first."""
        return reversed(self._references)

    @property
    def count(self) -> int:
        """The number of conversations."""
        return len(self._references)

    def find(self, key: KeyParts) -> Conversation | None:
        """Returns a conversation, or None if it has no entries."""
        references = self._references.get(key)
        return (
            None
            if references is None
            else Conversation(ConversationKey._make(key), Entries(self._logs, _listed(references)))
        )

    def of_call(self, seq: int) -> list[LogItem]:
        """Returns what a call displayed: one message, or one for each chat of a broadcast."""
        return [entry.item for entry in Entries(self._logs, _listed(self._by_call.get(seq, [])))]

    def _new_references(self, state: VendorState) -> Iterator[tuple[ConversationKey, Reference]]:
        """Yields the new items of each log, once for each conversation they belong to."""
        for number, log in enumerate(logs(state)):
            for item in log[self._read[number] :]:
                at = self._read[number]
                self._read[number] += 1
                yield from self._references_of(state, item, number, at)

    def _references_of(
        self, state: VendorState, item: LogItem, log: int, at: int
    ) -> Iterator[tuple[ConversationKey, Reference]]:
        if isinstance(item, Callback):
            order = item.after, 1 + self._read[-1]
        else:
            order = item.seq or state.calls.last_seq, 0
            _put(self._by_call, order[0], reference_of(order, log, at))
        for key in keys_of(item):
            yield key, reference_of(order, log, at)
        for key in _dropped(item):
            yield key, reference_of(order, log, at, missing=True)


def _put(index: Index, key: Any, reference: Reference) -> None:
    """Inserts a reference in order, which is nearly always the end."""
    value = index.get(key)
    if value is None:
        index[key] = reference
    elif not isinstance(value, list):
        index[key] = sorted((value, reference))
    elif value[-1] <= reference:
        value.append(reference)
    else:
        insort(value, reference)


def _listed(value: Reference | list[Reference]) -> list[Reference]:
    return value if isinstance(value, list) else [value]


def reference_of(order: tuple[int, int], log: int, at: int, *, missing: bool = False) -> Reference:
    """Returns the number that stands for an item of a log."""
    return (((order[0] << NUMBER | order[1]) << 3 | log) << NUMBER | at) << 1 | missing


def entry_of(logs: Sequence[Sequence[LogItem]], reference: Reference) -> ConversationEntry:
    """Returns the entry that a reference stands for."""
    number = (1 << NUMBER) - 1
    place, order = reference >> 1, reference >> NUMBER + 4
    item = logs[place >> NUMBER & 7][place & number]
    return ConversationEntry((order >> NUMBER, order & number), item, bool(reference & 1))


def logs(state: VendorState) -> Sequence[Sequence[LogItem]]:
    """Returns the logs whose items are entries, each oldest first.

    Callbacks are last, because they follow the others.
    """
    messages: Any = state.inbox.log
    return messages, state.webhook.posts, state.external.all_tasks(), state.youdu.notices, state.callbacks.all


def keys_of(item: LogItem) -> list[ConversationKey]:
    """Returns the conversations that an item is displayed in."""
    match item:
        case InboxMessage(chatid=None):
            return [ConversationKey("app", place_of(item), person) for person in item.shown_to]
        case InboxMessage():
            return [ConversationKey("chat", item.app.corpid, str(item.chatid))]
        case DeliveredMessage():
            return [ConversationKey("youdu", item.appid, person) for person in item.shown_to]
        case YouduNotice():
            return [ConversationKey("youdu", item.appid, person) for person in item.people]
        case Post():
            return [ConversationKey("webhook", item.kind, item.chat)]
        case GroupSendTask():
            return [ConversationKey("campaign", item.corpid, member) for member in item.members]
        case Callback():
            return _action_keys(item)


def place_of(message: InboxMessage) -> str:
    """Returns the app of a message as corpid/agentid."""
    agentid = message.agentid if message.agentid is not None else message.app.settings.agentid
    return f"{message.app.corpid}/{'' if agentid is None else agentid}"


def _dropped(item: LogItem) -> list[ConversationKey]:
    """Returns the conversations of the members whom a limit kept from getting a message."""
    if not isinstance(item, InboxMessage) or item.chatid is not None or len(item.recipients) == len(item.shown_to):
        return []
    return [
        ConversationKey("app", place_of(item), person) for person in sorted(item.recipients.difference(item.shown_to))
    ]


def _action_keys(callback: Callback) -> list[ConversationKey]:
    person = str(callback.about.get("person", ""))
    match callback.app:
        case AppSettings() as app if person:
            return [
                ConversationKey("app", f"{app.corpid}/{callback.about.get('agentid', app.agentid)}", person.lower())
            ]
        case WebhookKey() if callback.about.get("chat"):
            return [ConversationKey("webhook", kind_of(str(callback.about["chat"])), str(callback.about["chat"]))]
        case YouduCallbackTarget() as app if person:
            return [ConversationKey("youdu", app.receiver, person.lower())]
    return []
