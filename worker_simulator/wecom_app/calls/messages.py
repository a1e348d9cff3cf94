"""message/send (90236 发送应用消息), step by step.

After the checks of the body, in the order of the settings, follow: recipients, task_id, duplicates, person-times,
limits of members.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.simulator import Check
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls import envelope
from worker_simulator.wecom_app.rules import options
from worker_simulator.wecom_app.rules.cards import INTERACTIVE, check_card, is_callback_capable
from worker_simulator.wecom_app.rules.content import Sending, Step, check_content, check_media, run_checks
from worker_simulator.wecom_app.rules.message_types import TO_MEMBERS
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import ReachedMembers
from worker_simulator.wecom_app.state.duplicates import FirstRequest
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_app.state.sent import new_msgid, refuse_used_task_id

UNSEEN = frozenset({40001, 40014, 40082, 41001, 42001, 45009, 45033, 45036, 60020, 301042})
"""Codes with which the vendor refuses a call before it looks at the message: token, address, limits of calls."""
TASK_ID = re.compile(r"[0-9A-Za-z_@-]{1,128}")


def send(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers message/send."""
    app = state.apps.by_token(request.query.get("access_token"), request.ip)
    body = envelope.parse(request, state.settings.codes)
    key = state.duplicates.key(app.name, request.body, body)
    try:
        return _send(state, app, request, body, key)
    except Refused as refused:
        if refused.code not in UNSEEN:
            state.duplicates.remember_refused(key, body, state.clock.now())
        raise


def record_refused(state: VendorState, request: HttpRequest, code: int) -> None:
    """Records a send that a fault rule refused with this code, if such sends count for the duplicate check."""
    if code in UNSEEN:
        return
    try:
        app = state.apps.by_token(request.query.get("access_token"), request.ip)
        body = envelope.parse(request, state.settings.codes)
    except Refused:
        return
    key = state.duplicates.key(app.name, request.body, body)
    state.duplicates.remember_refused(key, body, state.clock.now())


def _send(state: VendorState, app: App, request: HttpRequest, body: Json, key: tuple[str, bytes]) -> HttpAnswer:
    sending = run_checks(state, app, request, body, STEPS)
    reached = _reach(state, sending)
    task_id = _task_id(sending.card)
    settings, now = state.settings, state.clock.now()
    if not settings.duplicate.before_task_id:
        refuse_used_task_id(app, task_id, now, settings.task_id_reserved_s)
    original = state.duplicates.original(key, body, now)
    if original is not None:
        _record_repeat(state, request.seq, original)
        return _repeat_answer(state, sending, original, reached)
    refuse_used_task_id(app, task_id, now, settings.task_id_reserved_s)
    message = _deliver(state, sending, list(reached.people))
    return _answer(state, sending, message, reached, key)


def _deliver(state: VendorState, sending: Sending, people: list[str]) -> InboxMessage:
    """Counts a message against every limit, and delivers it to the members below their limits."""
    app, seq, msgid = sending.app, sending.request.seq, new_msgid()
    state.limits.count_persons(app.name, len(people), seq)
    admitted = state.limits.admit_members(app.name, people, msgid, seq)
    message = _message(state, sending, msgid)
    message.recipients = frozenset(people)
    if message.task_id:
        app.task_ids[message.task_id] = message.sent_at
    state.sent.add(message)
    state.inbox.show(message, admitted)
    return message


def _check_agent(state: VendorState, sending: Sending) -> None:
    """Checks that agentid is the app of the token. Mini-program notices may omit it."""
    required = sending.msgtype != "miniprogram_notice"
    sending.agentid = envelope.agentid_of(sending.body, sending.findings, required=required)
    if sending.agentid is not None:
        state.apps.check_agent(sending.app, sending.agentid)


def _check_msgtype(state: VendorState, sending: Sending) -> None:
    envelope.check_msgtype(sending.body)


def _check_options(state: VendorState, sending: Sending) -> None:
    sending.options = options.check(sending.body, sending.msgtype, sending.findings)


def _check_body(state: VendorState, sending: Sending) -> None:
    if sending.card is None:
        check_content(sending, TO_MEMBERS)
    else:
        check_card(sending.card, sending.findings)
    _check_permissions(sending)
    check_media(state, sending)


def _check_permissions(sending: Sending) -> None:
    """Checks what the app may send.

    Mini programs must be linked, their notices need a mini-program app, and cards with buttons need a callback URL and
    a task_id.
    """
    settings = sending.app.settings
    if sending.msgtype == "miniprogram_notice" and not settings.miniprogram:
        raise Refused(48002)
    if settings.mini_programs is not None and not set(sending.findings.appids) <= set(settings.mini_programs):
        sending.findings.refuse("unlinked_appid")
    card = sending.card
    if card is not None and is_callback_capable(card):
        if not settings.callback:
            raise Refused(43012)
        if not card.get("task_id"):
            raise Refused(42014)


def _check_recipients(state: VendorState, sending: Sending) -> None:
    sending.recipients = envelope.recipients_of(sending.body, sending.findings)


STEPS: Mapping[Check, Step] = {
    "agent": _check_agent,
    "msgtype": _check_msgtype,
    "options": _check_options,
    "body": _check_body,
    "recipients": _check_recipients,
}


def _task_id(card: Json | None) -> str | None:
    """Returns the task_id of a card, or None. It has 1 to 128 characters of `0-9A-Za-z_-@`."""
    value = (card or {}).get("task_id")
    if value in (None, "") and (card or {}).get("card_type") not in INTERACTIVE:
        return None
    if not isinstance(value, str) or not TASK_ID.fullmatch(value):
        raise Refused(42014)
    return value


def _reach(state: VendorState, sending: Sending) -> ReachedMembers:
    ids = sending.recipients
    reached = state.directory.reach(sending.app.settings, ids["touser"], ids["toparty"], ids["totag"])
    unknown = reached.refused_fields(lower_case=False)
    if unknown:
        state.rulings.record(sending.request.seq, "unknown", **unknown)
    if not reached.targets:
        keeps_case = state.settings.directory.all_invalid_keeps_case
        raise Refused(81013, **_refused_fields(state, reached, keeps_case=keeps_case))
    return reached


def _refused_fields(state: VendorState, reached: ReachedMembers, *, keeps_case: bool = False) -> dict[str, str]:
    directory = state.settings.directory
    lower_case = directory.lower_case and not keeps_case
    return reached.refused_fields(lower_case=lower_case, with_empty=directory.empty_lists == "empty")


def _record_repeat(state: VendorState, seq: int, original: FirstRequest) -> None:
    first = state.sent.messages.get(original.fields.get("msgid", ""))
    state.rulings.record(seq, "duplicate", first_at=original.at, first_seq=first.seq if first else None)


def _repeat_answer(state: VendorState, sending: Sending, original: FirstRequest, reached: ReachedMembers) -> HttpAnswer:
    """Returns the answer to a suppressed repeat. The vendor does not document it, so a setting decides."""
    refused = _refused_fields(state, reached)
    answers = state.settings.duplicate.answers
    if answers == "no_msgid":
        return accepted(**refused)
    if answers == "first_msgid" and original.fields:
        return accepted(**refused, **original.fields)
    message = _message(state, sending, new_msgid())
    state.sent.add(message)
    return accepted(**refused, msgid=message.msgid)


def _message(state: VendorState, sending: Sending, msgid: str) -> InboxMessage:
    return InboxMessage(
        msgid=msgid,
        app=sending.app,
        agentid=sending.agentid,
        msgtype=sending.msgtype,
        content=sending.content,
        task_id=_task_id(sending.card),
        sent_at=state.clock.now(),
        seq=sending.request.seq,
        appearance=appearance(sending, sending.agentid),
        safe=sending.options.safe,
        altered=sending.findings.altered,
    )


def appearance(sending: Sending, place: Any) -> str:
    """Returns a text that is equal for messages that look alike: without recipients, flags and task ids."""
    visible = {name: value for name, value in sending.content.items() if name != "task_id"}
    return json.dumps([place, sending.msgtype, visible], ensure_ascii=False, sort_keys=True)


def _answer(
    state: VendorState, sending: Sending, message: InboxMessage, reached: ReachedMembers, key: tuple[str, bytes]
) -> HttpAnswer:
    now = state.clock.now()
    fields: dict[str, Any] = {"msgid": message.msgid}
    if sending.card is not None and is_callback_capable(sending.card):
        fields["response_code"] = state.sent.issue_code(message, now)
    state.duplicates.remember(key, sending.body, now, fields)
    return accepted(errmsg=sending.findings.errmsg, **_refused_fields(state, reached), **fields)
