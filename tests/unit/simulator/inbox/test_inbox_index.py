"""The index of conversations: taken in by pieces, to the end, and as little as can be for Python's collector."""

from __future__ import annotations

import asyncio
import gc

import pytest

from worker_simulator.inbox.conversations import PIECE, Conversations
from worker_simulator.inbox.query import ConversationKey
from worker_simulator.settings import AppSettings, SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.inbox import InboxMessage

PEOPLE = 20 * PIECE


def key(n: int) -> ConversationKey:
    """The conversation of one of them with the app."""
    return ConversationKey("app", "ww1/1", f"p{n}")


@pytest.fixture
def state() -> VendorState:
    """One message to each of many people, then one to all of them."""
    made = VendorState(SimulatorSettings())
    app = App(name="a", settings=AppSettings(corpid="ww1", secret="s", agentid=1))
    people = [key(n).who for n in range(PEOPLE)]
    for seq, shown_to in enumerate([*([one] for one in people), people], 1):
        message = InboxMessage(f"m{seq}", app, 1, "text", {"content": f"{seq}"}, None, 1.0, seq, f"{seq}")
        message.recipients = frozenset(shown_to)
        made.inbox.show(message, shown_to)
    return made


def test_others_have_their_turn_while_it_is_made(state: VendorState) -> None:
    """After each piece, also inside one message to many people."""

    async def turns() -> int:
        index, count = Conversations(state), 0
        task = asyncio.create_task(index.catch_up(state))
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert 2 * PEOPLE // PIECE <= asyncio.run(turns())


def test_what_a_broken_off_look_has_begun_is_gone_on_with(state: VendorState) -> None:
    """Nothing is left out, and nothing stands twice."""

    async def looked() -> Conversations:
        index = Conversations(state)
        task = asyncio.create_task(index.catch_up(state))
        for _ in range(30):  # in the middle of the message to all of them
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await index.catch_up(state)
        return index

    index = asyncio.run(looked())

    assert index.count == PEOPLE
    assert [[n + 1, PEOPLE + 1] for n in range(PEOPLE)] == [
        [entry.order[0] for entry in found.entries] for n in range(PEOPLE) if (found := index.find(key(n)))
    ]


def test_it_gives_the_collector_of_garbage_little_to_follow(state: VendorState) -> None:
    """At most a list for each conversation, since a collection stops everything for as long as it lasts."""
    index = Conversations(state)
    gc.collect()
    before = len(gc.get_objects())

    asyncio.run(index.catch_up(state))

    gc.collect()
    assert index.count == PEOPLE
    assert len(gc.get_objects()) - before < 1.1 * PEOPLE


def test_a_cleared_inbox_can_be_read_until_the_next_look(state: VendorState) -> None:
    """A page that is being made is not cut off by it."""
    index = Conversations(state)
    asyncio.run(index.catch_up(state))
    state.inbox.clear()

    found = index.find(key(7))

    assert found is not None
    assert ["8", f"{PEOPLE + 1}"] == [entry.item.content["content"] for entry in found.entries]  # type: ignore[union-attr]
