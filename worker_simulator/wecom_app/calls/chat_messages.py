"""appchat/send (90248 应用推送消息): no msgid, no lists of refused members, no agentid, no duplicate check.

Does not know HTTP and how chats are made.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, accepted
from worker_simulator.request import HttpRequest
from worker_simulator.settings.whole import Check
from worker_simulator.wecom_app.calls import envelope
from worker_simulator.wecom_app.calls.chats import chatid_of, refuse_without_scope
from worker_simulator.wecom_app.calls.messages import looks
from worker_simulator.wecom_app.rules import options
from worker_simulator.wecom_app.rules.content import Sending, Step, check_media, check_plain, checked
from worker_simulator.wecom_app.rules.plain import TO_CHATS
from worker_simulator.wecom_app.state.chats import Chat
from worker_simulator.wecom_app.state.inbox import InboxMessage

if TYPE_CHECKING:
    from worker_simulator.world import World

MENTION = re.compile(r"<@([0-9A-Za-z_.@-]{1,64})>")
MENTIONING = frozenset({"text", "markdown"})


def send(world: "World", request: HttpRequest) -> HttpAnswer:
    """Show a message to the members of a chat whom no cap drops."""
    app, body = envelope.received(world, request)
    refuse_without_scope(world, app)
    sending = checked(world, app, request, body, STEPS)
    chat = world.chats.of(app, chatid_of(body, sending.found))
    world.limits.count_chat_persons(app.corpid, len(chat.members), request.seq)
    admitted = world.limits.admit_chat_members(app.name, chat.members, chat.chatid, request.seq)
    world.inbox.show(_message(world, sending, chat), admitted)
    return accepted(errmsg=sending.found.errmsg)


def _check_msgtype(world: "World", sending: Sending) -> None:
    envelope.check_msgtype(sending.body, frozenset(TO_CHATS), world.settings.chat.msgtype_code)


def _check_options(world: "World", sending: Sending) -> None:
    sending.options = options.check_for_chat(sending.body, sending.msgtype, sending.found)


def _check_body(world: "World", sending: Sending) -> None:
    sending.found.translate = None
    check_plain(sending, TO_CHATS)
    check_media(world, sending)


STEPS: Mapping[Check, Step] = {"msgtype": _check_msgtype, "options": _check_options, "body": _check_body}


def _message(world: "World", sending: Sending, chat: Chat) -> InboxMessage:
    return InboxMessage(
        msgid="",
        app=sending.app,
        agentid=sending.app.settings.agentid,
        msgtype=sending.msgtype,
        content=sending.content,
        task_id=None,
        sent_at=world.clock.now(),
        seq=sending.request.seq,
        semantic=looks(sending, chat.chatid),
        safe=sending.options.safe,
        altered=sending.found.altered,
        chatid=chat.chatid,
        mentioned=_mentioned(sending, chat),
        recipients=frozenset(chat.members),
    )


def _mentioned(sending: Sending, chat: Chat) -> frozenset[str]:
    """The members named in mentioned_list, or in the text as `<@userid>`; `@all` is every member."""
    content = str(sending.content.get("content", "")) if sending.msgtype in MENTIONING else ""
    names = {*(sending.content.get("mentioned_list") or ()), *MENTION.findall(content)}
    named = {name.lower() for name in names}
    return frozenset(chat.members) if "@all" in named else frozenset(named & set(chat.members))
