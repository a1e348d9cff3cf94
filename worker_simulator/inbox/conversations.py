"""What each person and chat was sent, by conversation: an index that catches up when a page is looked at.

Reads the world's logs. Does not know how anything is drawn. Calls of the vendor pay nothing for it; a long catching-up
lets them pass between its pieces.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from worker_simulator.inbox.look import ConversationKey
from worker_simulator.settings import AppSettings, WebhookKey
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_external.tasks import GroupSendTask
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import kind_of
from worker_simulator.wire.callbacks import Callback
from worker_simulator.world import World
from worker_simulator.youdu.events import CalledApp
from worker_simulator.youdu.memory import DeliveredMessage, YouduNotice

What = InboxMessage | DeliveredMessage | YouduNotice | Post | GroupSendTask | Callback
PIECE = 200
"""Entries that are put into the index before others get their turn: less than a millisecond."""
NUMBER = 32
"""Bits of a number in a reference, more than any log has entries."""

Reference = int
"""An entry as one number, in the order of the conversation: order, then log, place in it and whether it is missing.

Python's collector of garbage follows neither numbers nor tuples of texts. With entries as objects it stopped
everything for up to half a second while 100,000 conversations were put into the index.
"""
PlainKey = tuple[str, ...]
"""The parts of a `ConversationKey`, which is one itself."""
Book = dict[Any, "Reference | list[Reference]"]
"""By key one reference, or several in their order."""


@dataclass(frozen=True, slots=True)
class ConversationEntry:
    """A message, a campaign or a person's act at its place in a conversation."""

    order: tuple[int, int]
    """The number of its call, or of the last call before an act, then its place among acts."""
    what: What
    missing: bool = False
    """The message was sent to this person and dropped in silence."""


class Entries(Sequence[ConversationEntry]):
    """The entries of one conversation, oldest first, each made when it is asked for."""

    def __init__(self, logs: Sequence[Sequence[What]], references: Sequence[Reference]) -> None:
        self._logs, self._references = logs, references

    def __len__(self) -> int:
        return len(self._references)

    @overload
    def __getitem__(self, at: int) -> ConversationEntry: ...
    @overload
    def __getitem__(self, at: slice) -> list[ConversationEntry]: ...
    def __getitem__(self, at: int | slice) -> ConversationEntry | list[ConversationEntry]:
        if isinstance(at, slice):
            return [entry_of(self._logs, one) for one in self._references[at]]
        return entry_of(self._logs, self._references[at])


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything between one person or chat and one app."""

    key: ConversationKey
    entries: Entries


class Conversations:
    """All conversations of a world, those with the newest entry last."""

    def __init__(self, world: World) -> None:
        self._catching_up = asyncio.Lock()
        self._begin(world)

    def _begin(self, world: World) -> None:
        messages: Any = world.inbox.log
        self._world, self._log = world, messages
        self._all: OrderedDict[PlainKey, Reference | list[Reference]] = OrderedDict()
        self._by_call: Book = {}
        self._read = [0, 0, 0, 0, 0]
        self._coming: Iterator[tuple[ConversationKey, Reference]] | None = None

    async def catch_up(self, world: World) -> None:
        """Take in what was logged since the last time; a look that is broken off leaves the rest to the next one."""
        async with self._catching_up:
            if world is not self._world or world.inbox.log is not self._log:
                self._begin(world)
            self._coming = self._coming or self._news(world)
            for number, (key, reference) in enumerate(self._coming, 1):
                plain = tuple(key)
                _put(self._all, plain, reference)
                self._all.move_to_end(plain)
                if number % PIECE == 0:
                    await asyncio.sleep(0)
            self._coming = None

    @property
    def _logs(self) -> Sequence[Sequence[What]]:
        """The logs that were read, also where the inbox was cleared since."""
        return self._log, *logs(self._world)[1:]

    def newest(self) -> Iterator[PlainKey]:
        """Which conversations there are, the one with the newest entry first."""
        return reversed(self._all)

    @property
    def count(self) -> int:
        """How many conversations there are."""
        return len(self._all)

    def find(self, key: PlainKey) -> Conversation | None:
        """One conversation, or None where nothing was ever sent in it."""
        found = self._all.get(key)
        return None if found is None else Conversation(ConversationKey._make(key), Entries(self._logs, _listed(found)))

    def of_call(self, seq: int) -> list[What]:
        """What a call showed: one message, or one for each chat of a broadcast."""
        return [entry.what for entry in Entries(self._logs, _listed(self._by_call.get(seq, [])))]

    def _news(self, world: World) -> Iterator[tuple[ConversationKey, Reference]]:
        """What is new in each log, for each conversation that it belongs to."""
        for number, log in enumerate(logs(world)):
            for what in log[self._read[number] :]:
                at = self._read[number]
                self._read[number] += 1
                yield from self._placed(world, what, number, at)

    def _placed(self, world: World, what: What, log: int, at: int) -> Iterator[tuple[ConversationKey, Reference]]:
        if isinstance(what, Callback):
            order = what.after, 1 + self._read[-1]
        else:
            order = what.seq or world.calls.last_seq, 0
            _put(self._by_call, order[0], reference_of(order, log, at))
        for key in keys_of(what):
            yield key, reference_of(order, log, at)
        for key in _dropped(what):
            yield key, reference_of(order, log, at, missing=True)


def _put(book: Book, key: Any, reference: Reference) -> None:
    """Note a reference at its place, nearly always the end."""
    found = book.get(key)
    if found is None:
        book[key] = reference
    elif not isinstance(found, list):
        book[key] = sorted((found, reference))
    elif found[-1] <= reference:
        found.append(reference)
    else:
        insort(found, reference)


def _listed(found: Reference | list[Reference]) -> list[Reference]:
    return found if isinstance(found, list) else [found]


def reference_of(order: tuple[int, int], log: int, at: int, *, missing: bool = False) -> Reference:
    """The entry that stands at this place of a log, as a number."""
    return (((order[0] << NUMBER | order[1]) << 3 | log) << NUMBER | at) << 1 | missing


def entry_of(logs: Sequence[Sequence[What]], reference: Reference) -> ConversationEntry:
    """The entry that a number stands for."""
    number = (1 << NUMBER) - 1
    place, order = reference >> 1, reference >> NUMBER + 4
    what = logs[place >> NUMBER & 7][place & number]
    return ConversationEntry((order >> NUMBER, order & number), what, bool(reference & 1))


def logs(world: World) -> Sequence[Sequence[What]]:
    """Everything that makes entries, each oldest first; acts come last, because they answer to the others."""
    messages: Any = world.inbox.log
    return messages, world.webhook.posts, world.external.every(), world.youdu.notices, world.callbacks.all


def keys_of(what: What) -> list[ConversationKey]:
    """The conversations in which something is shown."""
    match what:
        case InboxMessage(chatid=None):
            return [ConversationKey("app", place_of(what), person) for person in what.shown_to]
        case InboxMessage():
            return [ConversationKey("chat", what.app.corpid, str(what.chatid))]
        case DeliveredMessage():
            return [ConversationKey("youdu", what.appid, person) for person in what.shown_to]
        case YouduNotice():
            return [ConversationKey("youdu", what.appid, person) for person in what.people]
        case Post():
            return [ConversationKey("webhook", what.kind, what.chat)]
        case GroupSendTask():
            return [ConversationKey("campaign", what.corpid, member) for member in what.members]
        case Callback():
            return _place_of_act(what)


def place_of(message: InboxMessage) -> str:
    """The app of a message, as corpid/agentid."""
    agentid = message.agentid if message.agentid is not None else message.app.settings.agentid
    return f"{message.app.corpid}/{'' if agentid is None else agentid}"


def _dropped(what: What) -> list[ConversationKey]:
    """The members whom a limit kept from seeing a message."""
    if not isinstance(what, InboxMessage) or what.chatid is not None or len(what.recipients) == len(what.shown_to):
        return []
    return [
        ConversationKey("app", place_of(what), person) for person in sorted(what.recipients.difference(what.shown_to))
    ]


def _place_of_act(act: Callback) -> list[ConversationKey]:
    person = str(act.about.get("person", ""))
    match act.app:
        case AppSettings() as app if person:
            return [ConversationKey("app", f"{app.corpid}/{act.about.get('agentid', app.agentid)}", person.lower())]
        case WebhookKey() if act.about.get("chat"):
            return [ConversationKey("webhook", kind_of(str(act.about["chat"])), str(act.about["chat"]))]
        case CalledApp() as app if person:
            return [ConversationKey("youdu", app.receiver, person.lower())]
    return []
