"""appchat/send (90248 应用推送消息): no msgid, no list of refused members, no agentid, no duplicate check."""

import re
from collections.abc import Mapping

from worker_simulator.answers import HttpAnswer, accepted
from worker_simulator.request import HttpRequest
from worker_simulator.settings.simulator import Check
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls import envelope
from worker_simulator.wecom_app.calls.chats import chatid_of, refuse_without_scope
from worker_simulator.wecom_app.calls.messages import appearance
from worker_simulator.wecom_app.rules import options
from worker_simulator.wecom_app.rules.content import Sending, Step, check_content, check_media, run_checks
from worker_simulator.wecom_app.rules.message_types import TO_CHATS
from worker_simulator.wecom_app.state.chats import Chat
from worker_simulator.wecom_app.state.inbox import InboxMessage

MENTION = re.compile(r"<@([0-9A-Za-z_.@-]{1,64})>")
MENTIONING = frozenset({"text", "markdown"})


def send(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers appchat/send: delivers a message to the members of a chat who are below their limits."""
    app, body = envelope.read_call(state, request)
    refuse_without_scope(state, app)
    sending = run_checks(state, app, request, body, STEPS)
    chat = state.chats.of(app, chatid_of(body, sending.findings))
    state.limits.count_chat_persons(app.corpid, len(chat.members), request.seq)
    admitted = state.limits.admit_chat_members(app.name, chat.members, chat.chatid, request.seq)
    state.inbox.show(_message(state, sending, chat), admitted)
    return accepted(errmsg=sending.findings.errmsg)


def _check_msgtype(state: VendorState, sending: Sending) -> None:
    envelope.check_msgtype(sending.body, frozenset(TO_CHATS), state.settings.chat.msgtype_code)


def _check_options(state: VendorState, sending: Sending) -> None:
    sending.options = options.check_for_chat(sending.body, sending.msgtype, sending.findings)


def _check_body(state: VendorState, sending: Sending) -> None:
    sending.findings.translate = None
    check_content(sending, TO_CHATS)
    check_media(state, sending)


STEPS: Mapping[Check, Step] = {"msgtype": _check_msgtype, "options": _check_options, "body": _check_body}


def _message(state: VendorState, sending: Sending, chat: Chat) -> InboxMessage:
    return InboxMessage(
        msgid="",
        app=sending.app,
        agentid=sending.app.settings.agentid,
        msgtype=sending.msgtype,
        content=sending.content,
        task_id=None,
        sent_at=state.clock.now(),
        seq=sending.request.seq,
        appearance=appearance(sending, chat.chatid),
        safe=sending.options.safe,
        altered=sending.findings.altered,
        chatid=chat.chatid,
        mentioned=_mentioned(sending, chat),
        recipients=frozenset(chat.members),
    )


def _mentioned(sending: Sending, chat: Chat) -> frozenset[str]:
    """Returns the members in mentioned_list, or in the text as `<@userid>`. `@all` is every member."""
    content = str(sending.content.get("content", "")) if sending.msgtype in MENTIONING else ""
    mentions = {*(sending.content.get("mentioned_list") or ()), *MENTION.findall(content)}
    ids = {name.lower() for name in mentions}
    return frozenset(chat.members) if "@all" in ids else frozenset(ids & set(chat.members))
