"""message/update_template_card (94888 更新模版卡片消息): one update per response_code.

Its `invaliduser` is an array, unlike that of message/send.
"""

from typing import Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls.envelope import agentid_of, read_call
from worker_simulator.wecom_app.rules.cards import INTERACTIVE, check_card
from worker_simulator.wecom_app.rules.content import translator
from worker_simulator.wecom_app.rules.findings import Findings, format_warnings, typed
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import ReachedMembers
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.wecom_app.state.sent import ResponseCode

TARGETS: dict[str, tuple[type, int, int]] = {
    "userids": (str, 1000, 40032),
    "partyids": (int, 100, 82002),
    "tagids": (int, 100, 82003),
}
"""List -> type of its ids, how many it may have, and the errcode for more."""


def update(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers update_template_card: updates a card for some of its recipients, and spends the response_code."""
    app, body = read_call(state, request)
    seq = request.seq
    findings = Findings(state.settings.codes)
    with format_warnings(findings):
        refused = _update(state, app, body, findings, seq)
    if refused:
        state.rulings.record(seq, "unknown", invaliduser="|".join(refused))
    return accepted(errmsg=findings.errmsg, invaliduser=refused)


def _update(state: VendorState, app: App, body: Json, findings: Findings, seq: int) -> list[str]:
    """Applies the update. Returns the targets that it did not reach."""
    if typed(body, "enable_id_trans", int, findings) == 1:
        findings.translate = translator(state.directory)
    state.apps.check_agent(app, agentid_of(body, findings))  # type: ignore[arg-type]  # required, so never None
    if not app.settings.callback:
        raise Refused(43012)
    code = _usable_code(state, app, typed(body, "response_code", str, findings))
    try:
        change = _change(code.message, body, findings)
        refused = _apply(state, code.message, body, change, findings)
    except Refused as error:
        code.spent = state.settings.card.consumed_on_error
        error.fields.setdefault("invaliduser", [])
        raise
    code.spent = True
    state.rulings.record(code.message.seq, "updated", seq=seq)
    state.rulings.record(seq, "update", seq=code.message.seq)
    return refused


def _usable_code(state: VendorState, app: App, value: str | None) -> ResponseCode:
    rules, code = state.settings.card, state.sent.codes.get(value or "")
    if code is None or code.spent or code.expired or state.clock.now() - code.issued_at > rules.code_lifetime_s:
        raise Refused(60140, invaliduser=[])
    if code.message.app is not app:
        raise Refused(rules.foreign_code, invaliduser=[])
    if code.message.recalled_at is not None and rules.recalled_code:
        raise Refused(rules.recalled_code, invaliduser=[])
    return code


def _change(message: InboxMessage, body: Json, findings: Findings) -> Json:
    """Returns the change. A button name disables the buttons of an interactive card; a card replaces the card."""
    card, button = typed(body, "template_card", dict, findings), typed(body, "button", dict, findings)
    if card:
        check_card(card, findings, updating=True)
        return {"template_card": card, **({"altered": findings.altered} if findings.altered else {})}
    name = typed(button or {}, "replace_name", str, findings, "button")
    if not name:
        raise Refused(40058, "invalid param 'button.replace_name'")
    if message.content["card_type"] not in INTERACTIVE:
        raise Refused(42017)
    return {"replace_name": name}


def _apply(state: VendorState, message: InboxMessage, body: Json, change: Json, findings: Findings) -> list[str]:
    """Applies the change to the targets that were recipients. Returns the others."""
    targets = {name: _target_ids(body, name, findings) for name in TARGETS}
    rules = state.settings.card
    if typed(body, "atall", int, findings) == 1:
        if any(targets.values()) and rules.atall_with_lists_code:
            raise Refused(rules.atall_with_lists_code)
        message.card_for_all, message.cards = change, {}
        return []
    if not any(targets.values()):
        raise Refused(rules.no_target_code)
    reached = state.directory.reach(message.app.settings, targets["userids"], targets["partyids"], targets["tagids"])
    return _apply_to(message, change, reached, rules.outside_code)


def _target_ids(body: Json, name: str, findings: Findings) -> list[str]:
    """Returns the ids of a list. Ids of a wrong type are accepted with a warning."""
    kind, limit, code = TARGETS[name]
    values: list[Any] = typed(body, name, list, findings) or []
    if len(values) > limit:
        raise Refused(code)
    findings.wrong_format |= not all(isinstance(value, kind) for value in values)
    return [str(value) for value in values]


def _apply_to(message: InboxMessage, change: Json, reached: ReachedMembers, outside_code: int) -> list[str]:
    inside = [person for person in reached.people if person in message.recipients]
    outside = [person for person in reached.people if person not in message.recipients]
    refused = [userid.lower() for userid in (*reached.invalid_users, *reached.unlicensed, *outside)]
    if not inside and outside_code:
        raise Refused(outside_code, invaliduser=refused)
    message.cards.update(dict.fromkeys(inside, change))
    return refused
