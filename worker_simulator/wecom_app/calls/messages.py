"""message/send (90236 发送应用消息), step by step.

Does not know HTTP. After the checks of the body, in the order of the settings, come: who is reached, task_id,
duplicates, person-times, members.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.whole import Check
from worker_simulator.wecom_app.calls import envelope
from worker_simulator.wecom_app.rules import options
from worker_simulator.wecom_app.rules.cards import INTERACTIVE, check_card, is_callback_capable
from worker_simulator.wecom_app.rules.content import Sending, Step, check_media, check_plain, checked
from worker_simulator.wecom_app.rules.plain import TO_MEMBERS
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import ReachedMembers
from worker_simulator.wecom_app.state.duplicates import Seen
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_app.state.sent import new_msgid, refuse_taken

if TYPE_CHECKING:
    from worker_simulator.world import World

TASK_ID = re.compile(r"[0-9A-Za-z_@-]{1,128}")


def send(world: "World", request: HttpRequest) -> HttpAnswer:
    """Carry out message/send."""
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    body = envelope.parse(request, world.settings.codes)
    key = world.duplicates.key(app.name, request.body, body)
    try:
        return _send(world, app, request, body, key)
    except Refused:
        world.duplicates.remember_refused(key, body, world.clock.now())
        raise


def note_refused(world: "World", request: HttpRequest) -> None:
    """Remember a send that a fault rule refused, where refused sends count for the duplicate check."""
    try:
        app = world.apps.by_token(request.query.get("access_token"), request.ip)
        body = envelope.parse(request, world.settings.codes)
    except Refused:
        return
    key = world.duplicates.key(app.name, request.body, body)
    world.duplicates.remember_refused(key, body, world.clock.now())


def _send(world: "World", app: App, request: HttpRequest, body: Json, key: tuple[str, bytes]) -> HttpAnswer:
    sending = checked(world, app, request, body, STEPS)
    reached = _reach(world, sending)
    task_id = _task_id(sending.card)
    settings, now = world.settings, world.clock.now()
    if not settings.duplicate.before_task_id:
        refuse_taken(app, task_id, now, settings.task_id_reserved_s)
    original = world.duplicates.original(key, body, now)
    if original is not None:
        _note_repeat(world, request.seq, original)
        return _suppressed(world, sending, original, reached)
    refuse_taken(app, task_id, now, settings.task_id_reserved_s)
    message = _deliver(world, sending, list(reached.people))
    return _answered(world, sending, message, reached, key)


def _deliver(world: "World", sending: Sending, people: list[str]) -> InboxMessage:
    """Count a message against every limit and show it to the members whom no cap drops."""
    app, seq, msgid = sending.app, sending.request.seq, new_msgid()
    world.limits.count_persons(app.name, len(people), seq)
    admitted = world.limits.admit_members(app.name, people, msgid, seq)
    message = _message(world, sending, msgid)
    message.recipients = frozenset(people)
    if message.task_id:
        app.task_ids[message.task_id] = message.sent_at
    world.sent.keep(message)
    world.inbox.show(message, admitted)
    return message


def _check_agent(world: "World", sending: Sending) -> None:
    """The app of the token is meant; mini-program notices need not name it."""
    required = sending.msgtype != "miniprogram_notice"
    sending.agentid = envelope.agentid_of(sending.body, sending.found, required=required)
    if sending.agentid is not None:
        world.apps.check_agent(sending.app, sending.agentid)


def _check_msgtype(world: "World", sending: Sending) -> None:
    envelope.check_msgtype(sending.body)


def _check_options(world: "World", sending: Sending) -> None:
    sending.options = options.check(sending.body, sending.msgtype, sending.found)


def _check_body(world: "World", sending: Sending) -> None:
    if sending.card is None:
        check_plain(sending, TO_MEMBERS)
    else:
        check_card(sending.card, sending.found)
    _check_permissions(sending)
    check_media(world, sending)


def _check_permissions(sending: Sending) -> None:
    """Mini programs must be linked, their notices need such an app, clickable cards a callback URL and a task_id."""
    settings = sending.app.settings
    if sending.msgtype == "miniprogram_notice" and not settings.miniprogram:
        raise Refused(48002)
    if settings.mini_programs is not None and not set(sending.found.appids) <= set(settings.mini_programs):
        sending.found.refuse("unlinked_appid")
    card = sending.card
    if card is not None and is_callback_capable(card):
        if not settings.callback:
            raise Refused(43012)
        if not card.get("task_id"):
            raise Refused(42014)


def _check_recipients(world: "World", sending: Sending) -> None:
    sending.recipients = envelope.recipients_of(sending.body, sending.found)


STEPS: Mapping[Check, Step] = {
    "agent": _check_agent,
    "msgtype": _check_msgtype,
    "options": _check_options,
    "body": _check_body,
    "recipients": _check_recipients,
}


def _task_id(card: Json | None) -> str | None:
    """A card's task_id, where it has one: 1 to 128 of `0-9A-Za-z_-@`."""
    value = (card or {}).get("task_id")
    if value in (None, "") and (card or {}).get("card_type") not in INTERACTIVE:
        return None
    if not isinstance(value, str) or not TASK_ID.fullmatch(value):
        raise Refused(42014)
    return value


def _reach(world: "World", sending: Sending) -> ReachedMembers:
    ids = sending.recipients
    reached = world.directory.reach(sending.app.settings, ids["touser"], ids["toparty"], ids["totag"])
    unknown = reached.refused_fields(lower_case=False)
    if unknown:
        world.rulings.note(sending.request.seq, "unknown", **unknown)
    if not reached.targets:
        keeps = world.settings.directory.all_invalid_keeps_case
        raise Refused(81013, **_refused_fields(world, reached, keeps_case=keeps))
    return reached


def _refused_fields(world: "World", reached: ReachedMembers, *, keeps_case: bool = False) -> dict[str, str]:
    directory = world.settings.directory
    lower_case = directory.lower_case and not keeps_case
    return reached.refused_fields(lower_case=lower_case, with_empty=directory.empty_lists == "empty")


def _note_repeat(world: "World", seq: int, original: Seen) -> None:
    first = world.sent.messages.get(original.fields.get("msgid", ""))
    world.rulings.note(seq, "duplicate", first_at=original.at, first_seq=first.seq if first else None)


def _suppressed(world: "World", sending: Sending, original: Seen, reached: ReachedMembers) -> HttpAnswer:
    """The answer to a repeat that no member sees; what it holds is a setting, because the vendor does not say."""
    refused = _refused_fields(world, reached)
    answers = world.settings.duplicate.answers
    if answers == "no_msgid":
        return accepted(**refused)
    if answers == "first_msgid" and original.fields:
        return accepted(**refused, **original.fields)
    message = _message(world, sending, new_msgid())
    world.sent.keep(message)
    return accepted(**refused, msgid=message.msgid)


def _message(world: "World", sending: Sending, msgid: str) -> InboxMessage:
    return InboxMessage(
        msgid=msgid,
        app=sending.app,
        agentid=sending.agentid,
        msgtype=sending.msgtype,
        content=sending.content,
        task_id=_task_id(sending.card),
        sent_at=world.clock.now(),
        seq=sending.request.seq,
        semantic=looks(sending, sending.agentid),
        safe=sending.options.safe,
        altered=sending.found.altered,
    )


def looks(sending: Sending, place: Any) -> str:
    """What makes two messages look alike to a person: not whom else they went to, not flags, not task ids."""
    shown = {name: value for name, value in sending.content.items() if name != "task_id"}
    return json.dumps([place, sending.msgtype, shown], ensure_ascii=False, sort_keys=True)


def _answered(
    world: "World", sending: Sending, message: InboxMessage, reached: ReachedMembers, key: tuple[str, bytes]
) -> HttpAnswer:
    now = world.clock.now()
    fields: dict[str, Any] = {"msgid": message.msgid}
    if sending.card is not None and is_callback_capable(sending.card):
        fields["response_code"] = world.sent.issue_code(message, now)
    world.duplicates.remember(key, sending.body, now, fields)
    return accepted(errmsg=sending.found.errmsg, **_refused_fields(world, reached), **fields)
