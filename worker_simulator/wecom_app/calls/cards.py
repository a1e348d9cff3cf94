"""message/update_template_card (94888 更新模版卡片消息): one change per response_code.

Does not know HTTP and how cards are sent. The `invaliduser` of this call is an array, unlike message/send's.
"""

from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.wecom_app.calls.envelope import agentid_of, received
from worker_simulator.wecom_app.rules.cards import INTERACTIVE, check_card
from worker_simulator.wecom_app.rules.content import translator
from worker_simulator.wecom_app.rules.findings import Findings, typed, warned
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import ReachedMembers
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_app.state.sent import ResponseCode

if TYPE_CHECKING:
    from worker_simulator.world import World

TARGETS: dict[str, tuple[type, int, int]] = {
    "userids": (str, 1000, 40032),
    "partyids": (int, 100, 82002),
    "tagids": (int, 100, 82003),
}
"""By list: the type of its entries, the most entries, and the code for more."""


def update(world: "World", request: HttpRequest) -> HttpAnswer:
    """Update a card for some of its recipients, spending the code."""
    app, body = received(world, request)
    seq = request.seq
    found = Findings(world.settings.codes)
    with warned(found):
        refused = _updated(world, app, body, found, seq)
    if refused:
        world.rulings.note(seq, "unknown", invaliduser="|".join(refused))
    return accepted(errmsg=found.errmsg, invaliduser=refused)


def _updated(world: "World", app: App, body: Json, found: Findings, seq: int) -> list[str]:
    """Carry the update out; returns the targets it did not reach."""
    if typed(body, "enable_id_trans", int, found) == 1:
        found.translate = translator(world.directory)
    world.apps.check_agent(app, agentid_of(body, found))  # type: ignore[arg-type]  # required, so never None
    if not app.settings.callback:
        raise Refused(43012)
    code = _usable_code(world, app, typed(body, "response_code", str, found))
    try:
        change = _change(code.message, body, found)
        refused = _apply(world, code.message, body, change, found)
    except Refused as error:
        code.spent = world.settings.card.consumed_on_error
        error.fields.setdefault("invaliduser", [])
        raise
    code.spent = True
    world.rulings.note(code.message.seq, "updated", seq=seq)
    world.rulings.note(seq, "update", seq=code.message.seq)
    return refused


def _usable_code(world: "World", app: App, value: str | None) -> ResponseCode:
    rules, code = world.settings.card, world.sent.codes.get(value or "")
    if code is None or code.spent or code.expired or world.clock.now() - code.issued_at > rules.code_lifetime_s:
        raise Refused(60140, invaliduser=[])
    if code.message.app is not app:
        raise Refused(rules.foreign_code, invaliduser=[])
    if code.message.recalled_at is not None and rules.recalled_code:
        raise Refused(rules.recalled_code, invaliduser=[])
    return code


def _change(message: InboxMessage, body: Json, found: Findings) -> Json:
    """Form A freezes the button of an interactive card under a new name; form B replaces the card."""
    card, button = typed(body, "template_card", dict, found), typed(body, "button", dict, found)
    if card:
        check_card(card, found, updating=True)
        return {"template_card": card, **({"altered": found.altered} if found.altered else {})}
    name = typed(button or {}, "replace_name", str, found, "button")
    if not name:
        raise Refused(40058, "invalid param 'button.replace_name'")
    if message.content["card_type"] not in INTERACTIVE:
        raise Refused(42017)
    return {"replace_name": name}


def _apply(world: "World", message: InboxMessage, body: Json, change: Json, found: Findings) -> list[str]:
    """Show the change to the targets that were recipients; the others are returned."""
    targets = {name: _target_ids(body, name, found) for name in TARGETS}
    rules = world.settings.card
    if typed(body, "atall", int, found) == 1:
        if any(targets.values()) and rules.atall_with_lists_code:
            raise Refused(rules.atall_with_lists_code)
        message.card_for_all, message.cards = change, {}
        return []
    if not any(targets.values()):
        raise Refused(rules.no_target_code)
    reached = world.directory.reach(message.app.settings, targets["userids"], targets["partyids"], targets["tagids"])
    return _apply_to(message, change, reached, rules.outside_code)


def _target_ids(body: Json, name: str, found: Findings) -> list[str]:
    """The ids of a list, within the number it may have; one of another type is read with a warning."""
    kind, most, code = TARGETS[name]
    values: list[Any] = typed(body, name, list, found) or []
    if len(values) > most:
        raise Refused(code)
    found.wrong_format |= not all(isinstance(value, kind) for value in values)
    return [str(value) for value in values]


def _apply_to(message: InboxMessage, change: Json, reached: ReachedMembers, outside_code: int) -> list[str]:
    inside = [person for person in reached.people if person in message.recipients]
    outside = [person for person in reached.people if person not in message.recipients]
    refused = [userid.lower() for userid in (*reached.invalid_users, *reached.unlicensed, *outside)]
    if not inside and outside_code:
        raise Refused(outside_code, invaliduser=refused)
    message.cards.update(dict.fromkeys(inside, change))
    return refused
