"""message/send (90236 发送应用消息), step by step.

Refuses to know HTTP. Order of checks (the vendor's is unconfirmed): token, IP, envelope, agent, body, card, media,
recipients, task_id, duplicates, person-times, members.
"""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.simulator.answers import Answer, Refused, accepted
from worker.simulator.request import Json, Request
from worker.simulator.wecom_app import envelope as envelopes
from worker.simulator.wecom_app.apps import App
from worker.simulator.wecom_app.body_rules import BODY_RULES
from worker.simulator.wecom_app.card_rules import INTERACTIVE, check_card, is_callback_capable
from worker.simulator.wecom_app.directory import Reached
from worker.simulator.wecom_app.duplicates import Seen
from worker.simulator.wecom_app.inbox import Message
from worker.simulator.wecom_app.sent import new_msgid, refuse_taken
from worker.simulator.wecom_app.validation import Findings, check_all

if TYPE_CHECKING:
    from worker.simulator.world import World

TASK_ID = re.compile(r"[0-9A-Za-z_@-]{1,128}")
WRONG_FORMAT = "ok. Warning: wrong json format. "


@dataclass(slots=True)
class Sending:
    """One send on its way through the checks."""

    app: App
    request: Request
    body: Json
    key: tuple[str, bytes]
    found: Findings
    envelope: envelopes.Envelope
    content: Json

    @property
    def card(self) -> Json | None:
        """The card, if it is one."""
        return self.content if self.envelope.msgtype == "template_card" else None


def send(world: "World", request: Request) -> Answer:
    """Carry out message/send."""
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    body = envelopes.parse(request, world.settings.codes)
    key = world.duplicates.key(app.name, request.body, body)
    try:
        return _send(world, app, request, body, key)
    except Refused:
        world.duplicates.remember_refused(key, body, world.clock.now())
        raise


def note_refused(world: "World", request: Request) -> None:
    """Remember a send that a fault refused, where refused ones count for the duplicate check."""
    try:
        app = world.apps.by_token(request.query.get("access_token"), request.ip)
        body = envelopes.parse(request, world.settings.codes)
    except Refused:
        return
    key = world.duplicates.key(app.name, request.body, body)
    world.duplicates.remember_refused(key, body, world.clock.now())


def _send(world: "World", app: App, request: Request, body: Json, key: tuple[str, bytes]) -> Answer:
    sending = _checked(world, app, request, body, key)
    reached = _reach(world, sending)
    task_id = _task_id(sending.card)
    settings, now = world.settings, world.clock.now()
    if not settings.duplicate.before_task_id:
        refuse_taken(app, task_id, now, settings.task_id_reserved_s)
    original = world.duplicates.original(key, body, now)
    if original is not None:
        return _suppressed(world, sending, original, reached)
    refuse_taken(app, task_id, now, settings.task_id_reserved_s)
    message = _deliver(world, sending, list(reached.people))
    return _answered(world, sending, message, reached)


def _deliver(world: "World", sending: Sending, people: list[str]) -> Message:
    """Count it against every limit and show it to those whom no cap drops."""
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


def _checked(world: "World", app: App, request: Request, body: Json, key: tuple[str, bytes]) -> Sending:
    found = Findings(world.settings.codes)
    envelope = envelopes.check(body, found)
    if envelope.agentid is not None:
        world.apps.check_agent(app, envelope.agentid)
    content = _content(body, envelope.msgtype, found)
    sending = Sending(app, request, body, key, found, envelope, content)
    _check_permissions(sending)
    for media_id, kind in found.media:
        world.media.check(app.corpid, kind, media_id)
    return sending


def _content(body: Json, msgtype: str, found: Findings) -> Json:
    """The message's own part, checked and cut. One that is missing is checked as an empty one."""
    content = body.get(msgtype)
    if not isinstance(content, dict):
        content = {}
    if msgtype == "template_card":
        check_card(content, found)
    else:
        check_all(BODY_RULES[msgtype], content, msgtype, found)
    return content


def _check_permissions(sending: Sending) -> None:
    """Mini-program notices need a mini-program app, clickable cards a callback URL and a task_id."""
    settings = sending.app.settings
    if sending.envelope.msgtype == "miniprogram_notice" and not settings.miniprogram:
        raise Refused(48002)
    card = sending.card
    if card is not None and is_callback_capable(card):
        if not settings.callback:
            raise Refused(43012)
        if not card.get("task_id"):
            raise Refused(42014)


def _task_id(card: Json | None) -> str | None:
    """A card's task_id, where it has one: 1 to 128 of `0-9A-Za-z_-@`."""
    value = (card or {}).get("task_id")
    if value in (None, "") and (card or {}).get("card_type") not in INTERACTIVE:
        return None
    if not isinstance(value, str) or not TASK_ID.fullmatch(value):
        raise Refused(42014)
    return value


def _reach(world: "World", sending: Sending) -> Reached:
    ids = sending.envelope.recipients
    reached = world.directory.reach(sending.app.settings, ids["touser"], ids["toparty"], ids["totag"])
    directory = world.settings.directory
    if not reached.targets:
        lower_case = directory.lower_case and not directory.all_invalid_keeps_case
        raise Refused(81013, **reached.refused_fields(lower_case=lower_case))
    return reached


def _suppressed(world: "World", sending: Sending, original: Seen, reached: Reached) -> Answer:
    """The answer to a repeat nobody sees; what it holds is a setting, as the vendor does not say."""
    refused = reached.refused_fields(lower_case=world.settings.directory.lower_case)
    answers = world.settings.duplicate.answers
    if answers == "no_msgid":
        return accepted(**refused)
    if answers == "first_msgid" and original.fields:
        return accepted(**refused, **original.fields)
    message = _message(world, sending, new_msgid())
    world.sent.keep(message)
    return accepted(**refused, msgid=message.msgid)


def _message(world: "World", sending: Sending, msgid: str) -> Message:
    envelope = sending.envelope
    return Message(
        msgid=msgid,
        app=sending.app,
        agentid=envelope.agentid,
        msgtype=envelope.msgtype,
        content=sending.content,
        task_id=_task_id(sending.card),
        sent_at=world.clock.now(),
        seq=sending.request.seq,
        semantic=_semantic(envelope, sending.content),
    )


def _semantic(envelope: envelopes.Envelope, content: Json) -> str:
    """What makes two messages look alike to a person: not whom else they went to, not flags, not task ids."""
    looks = {name: value for name, value in content.items() if name != "task_id"}
    return json.dumps([envelope.agentid, envelope.msgtype, looks], ensure_ascii=False, sort_keys=True)


def _answered(world: "World", sending: Sending, message: Message, reached: Reached) -> Answer:
    now = world.clock.now()
    fields: dict[str, Any] = {"msgid": message.msgid}
    if sending.card is not None and is_callback_capable(sending.card):
        fields["response_code"] = world.sent.issue_code(message, now)
    world.duplicates.remember(sending.key, sending.body, now, fields)
    refused = reached.refused_fields(lower_case=world.settings.directory.lower_case)
    return accepted(errmsg=WRONG_FORMAT if sending.found.wrong_format else "ok", **refused, **fields)
