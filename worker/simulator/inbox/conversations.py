"""What each person and chat was sent, by conversation: an index that catches up when a page is looked at.

Reads the world's logs. Does not know how anything is drawn. Calls of the vendor pay nothing for it; a long catching-up
lets them pass between its pieces.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.simulator.inbox.look import ConversationKey
from worker.simulator.settings import AppSettings, WebhookKey
from worker.simulator.wecom_app.state.inbox import InboxMessage
from worker.simulator.wecom_external.state.tasks import GroupSendTask
from worker.simulator.wecom_webhook.state.memory import Post
from worker.simulator.wecom_webhook.state.places import kind_of
from worker.simulator.wire.callbacks import Callback
from worker.simulator.world import World
from worker.simulator.youdu.calls.events import CalledApp
from worker.simulator.youdu.state.memory import DeliveredMessage, YouduNotice

What = InboxMessage | DeliveredMessage | YouduNotice | Post | GroupSendTask | Callback
PIECE = 2000
"""Entries that are put into the index before others get their turn: some two milliseconds."""


@dataclass(frozen=True, slots=True)
class ConversationEntry:
    """A message, a campaign or a person's act at its place in a conversation; shared by those who see the same."""

    order: tuple[int, int]
    """The number of its call, or of the last call before an act, then its place among acts."""
    what: What
    missing: bool = False
    """The message was sent to this person and dropped in silence."""


@dataclass(slots=True)
class Conversation:
    """Everything between one person or chat and one app, oldest first."""

    key: ConversationKey
    entries: list[ConversationEntry] = field(default_factory=list)

    def add(self, entry: ConversationEntry) -> None:
        """Put an entry at its place, nearly always the end."""
        if not self.entries or self.entries[-1].order <= entry.order:
            self.entries.append(entry)
        else:
            insort(self.entries, entry, key=lambda one: one.order)


class Conversations:
    """All conversations of a world, those with the newest entry last."""

    def __init__(self, world: World) -> None:
        self._catching_up = asyncio.Lock()
        self._begin(world)

    def _begin(self, world: World) -> None:
        self._world, self._log = world, world.inbox.log
        self._all: OrderedDict[ConversationKey, Conversation] = OrderedDict()
        self._by_call: dict[int, list[What]] = {}
        self._read = [0, 0, 0, 0, 0]

    async def catch_up(self, world: World) -> None:
        """Take in what was logged since the last time."""
        async with self._catching_up:
            if world is not self._world or world.inbox.log is not self._log:
                self._begin(world)
            left = PIECE
            for entry, keys in self._news(world):
                for key in keys:
                    self._put(key, entry)
                    left -= 1
                if left <= 0:
                    await asyncio.sleep(0)
                    left = PIECE

    def newest(self) -> Iterator[Conversation]:
        """Conversations, the one with the newest entry first."""
        return reversed(self._all.values())

    @property
    def count(self) -> int:
        """How many conversations there are."""
        return len(self._all)

    def find(self, key: ConversationKey) -> Conversation | None:
        """One conversation, or None where nothing was ever sent in it."""
        return self._all.get(key)

    def of_call(self, seq: int) -> list[What]:
        """What a call showed: one message, or one for each chat of a broadcast."""
        return self._by_call.get(seq, [])

    @property
    def entries(self) -> tuple[int, ...]:
        """How much was read of each log, so that a look can tell whether there is more."""
        return tuple(self._read)

    def _put(self, key: ConversationKey, entry: ConversationEntry) -> None:
        conversation = self._all.get(key)
        if conversation is None:
            conversation = self._all[key] = Conversation(key)
        conversation.add(entry)
        self._all.move_to_end(key)

    def _news(self, world: World) -> Iterator[tuple[ConversationEntry, Iterable[ConversationKey]]]:
        """What is new in each log, with the conversations it belongs to."""
        for at, log in enumerate(logs(world)):
            for what in log[self._read[at] :]:
                self._read[at] += 1
                yield from self._placed(world, what)

    def _placed(self, world: World, what: What) -> Iterator[tuple[ConversationEntry, Iterable[ConversationKey]]]:
        if isinstance(what, Callback):
            keys = keys_of(what)
            yield ConversationEntry((what.after, 1 + self._read[-1]), what), keys
            return
        seq = what.seq or world.calls.last_seq
        self._by_call.setdefault(seq, []).append(what)
        yield ConversationEntry((seq, 0), what), keys_of(what)
        dropped = _dropped(what)
        if dropped:
            yield ConversationEntry((seq, 0), what, missing=True), dropped


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
