"""externalcontact/add_msg_template (92135 创建企业群发), step by step.

Nothing is sent to customers here: a task waits until its members confirm it.
"""

from typing import Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import Json
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.rules.findings import Findings, format_warnings, typed
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external import rules
from worker_simulator.wecom_external.contacts import Reach

RECIPIENT_FIELDS = {"single": ("external_userid", 10_000), "group": ("chat_id_list", 2000)}
"""chat_type -> the field with the recipients, and how many it may have."""
TAGS_PER_LIST = 100


def create(state: VendorState, app: App, body: Json, seq: int) -> HttpAnswer:
    """Creates a task, or refuses it."""
    findings = Findings(state.settings.codes)
    with format_warnings(findings):
        content = rules.check(body, state.settings.external, findings)
        _check_references(state, app, findings)
        chat_type = body.get("chat_type", "single")
        if not isinstance(chat_type, str) or chat_type not in RECIPIENT_FIELDS:
            raise Refused(40058, "invalid param 'chat_type'")
        reach = _reached(state, app, body, chat_type, findings)
    if reach.failed:
        state.rulings.record(seq, "unknown", fail_list="|".join(reach.failed))
    _refuse_no_recipients(state, reach)
    task = state.external.create(app.corpid, chat_type, content, reach.by_member, seq=seq)
    return accepted(errmsg=findings.errmsg, fail_list=reach.failed, msgid=task.msgid)


def _check_references(state: VendorState, app: App, findings: Findings) -> None:
    for media_id, kind in findings.media:
        state.media.check(app.corpid, kind, media_id)
    linked = app.settings.mini_programs
    if linked is not None and not set(findings.appids) <= set(linked):
        findings.refuse("unlinked_appid")


def _reached(state: VendorState, app: App, body: Json, chat_type: str, findings: Findings) -> Reach:
    name, limit = RECIPIENT_FIELDS[chat_type]
    ids = _ids(body, name, limit, findings)
    sender = typed(body, "sender", str, findings) or None
    if sender is not None:
        _check_sender(state, app, sender)
    elif chat_type == "group":
        raise Refused(40058, "invalid param 'sender'")
    reach = _to_groups(state, sender or "", ids) if chat_type == "group" else _to_customers(state, body, sender, ids)
    return _move_capped(state, app, reach)


def _to_groups(state: VendorState, sender: str, ids: list[str]) -> Reach:
    """Returns the recipients of a send to groups. Without groups, the owner chooses some before sending."""
    if not ids:
        return Reach({sender: []})
    return state.external.contacts.reach(ids, sender, state.settings.external.groups)


def _to_customers(state: VendorState, body: Json, sender: str | None, ids: list[str]) -> Reach:
    """Returns the customers in the call, else all of the sender, or of the corp, with the tags."""
    contacts, tags = state.external.contacts, _tags(state, body)
    if ids:
        return contacts.reach(ids, sender, state.settings.external.customers)
    if sender is None and not tags:
        raise Refused(40058, "invalid param 'external_userid'")
    by_member = contacts.all_customers() if sender is None else {sender: contacts.customers_of(sender)}
    chosen = {member: contacts.tagged(customers, tags) for member, customers in by_member.items()}
    return Reach({member: customers for member, customers in chosen.items() if customers})


def _tags(state: VendorState, body: Json) -> list[list[str]]:
    holder = body.get("tag_filter")
    groups: Any = holder.get("group_list") if isinstance(holder, dict) else None
    lists: list[Any] = [
        group.get("tag_list") for group in (groups if isinstance(groups, list) else ()) if isinstance(group, dict)
    ]
    if any(not isinstance(tags, list) or len(tags) > TAGS_PER_LIST for tags in lists):
        raise Refused(40058, "invalid param 'tag_filter'")
    if not all(isinstance(tag, str) for tags in lists for tag in tags):
        raise Refused(40058, "invalid param 'tag_filter'")
    if not all(state.external.contacts.has_tag(tag) for tags in lists for tag in tags):
        raise Refused(40068)
    return lists


def _ids(body: Json, name: str, limit: int, findings: Findings) -> list[str]:
    ids = typed(body, name, list, findings) or []
    if len(ids) > limit:
        raise Refused(40058, f"{name} exceed max length {limit}. invalid Request Parameter")
    return [str(entry) for entry in ids]


def _check_sender(state: VendorState, app: App, sender: str) -> None:
    codes, visible = state.settings.external, app.settings.visible
    if not state.directory.exists(sender) and codes.missing_sender_code:
        raise Refused(codes.missing_sender_code)
    outside = visible is not None and sender.lower() not in {member.lower() for member in visible}
    if outside and codes.invisible_sender_code:
        raise Refused(codes.invisible_sender_code)


def _move_capped(state: VendorState, app: App, reach: Reach) -> Reach:
    if not state.settings.external.capped_in_fail_list:
        return reach
    for member, ids in reach.by_member.items():
        full = [recipient for recipient in ids if state.external.caps.is_used_up(app.corpid, recipient)]
        reach.by_member[member] = [recipient for recipient in ids if recipient not in full]
        reach.failed += full
    return reach


def _refuse_no_recipients(state: VendorState, reach: Reach) -> None:
    """Refuses a task without recipients, unless the owner is to choose groups."""
    codes = state.settings.external
    if any(reach.by_member.values()) or (reach.by_member and not reach.failed):
        return
    code = codes.malformed_code if reach.failed and reach.malformed == len(reach.failed) else codes.nobody_code
    if code:
        raise Refused(code, fail_list=reach.failed)
