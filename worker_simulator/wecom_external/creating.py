"""externalcontact/add_msg_template (92135 创建企业群发), step by step.

Does not know HTTP. Nothing reaches a customer here: a task waits for its members.
"""

from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Findings, typed, warned
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external import rules
from worker_simulator.wecom_external.contacts import Reach

if TYPE_CHECKING:
    from worker_simulator.world import World

MOST = {"single": ("external_userid", 10_000), "group": ("chat_id_list", 2000)}
TAGS_PER_LIST = 100


def create(world: "World", app: App, body: Json, seq: int) -> HttpAnswer:
    """Make a task, or refuse it."""
    found = Findings(world.settings.codes)
    with warned(found):
        content = rules.check(body, world.settings.external, found)
        _check_what_it_leads_to(world, app, found)
        chat_type = body.get("chat_type", "single")
        if not isinstance(chat_type, str) or chat_type not in MOST:
            raise Refused(40058, "invalid param 'chat_type'")
        reach = _reached(world, app, body, chat_type, found)
    if reach.failed:
        world.rulings.note(seq, "unknown", fail_list="|".join(reach.failed))
    _refuse_nobody(world, reach)
    task = world.external.keep(app.corpid, chat_type, content, reach.by_member, seq=seq)
    return accepted(errmsg=found.errmsg, fail_list=reach.failed, msgid=task.msgid)


def _check_what_it_leads_to(world: "World", app: App, found: Findings) -> None:
    for media_id, kind in found.media:
        world.media.check(app.corpid, kind, media_id)
    linked = app.settings.mini_programs
    if linked is not None and not set(found.appids) <= set(linked):
        found.refuse("unlinked_appid")


def _reached(world: "World", app: App, body: Json, chat_type: str, found: Findings) -> Reach:
    name, most = MOST[chat_type]
    ids = _ids(body, name, most, found)
    sender = typed(body, "sender", str, found) or None
    if sender is not None:
        _check_sender(world, app, sender)
    elif chat_type == "group":
        raise Refused(40058, "invalid param 'sender'")
    reach = _to_groups(world, sender or "", ids) if chat_type == "group" else _to_customers(world, body, sender, ids)
    return _without_capped(world, app, reach)


def _to_groups(world: "World", sender: str, ids: list[str]) -> Reach:
    """The recipients of a send to groups; without groups the owner chooses some before sending."""
    if not ids:
        return Reach({sender: []})
    return world.external.contacts.reach(ids, sender, world.settings.external.groups)


def _to_customers(world: "World", body: Json, sender: str | None, ids: list[str]) -> Reach:
    """The named customers; else all of the sender's, or of the corp's, that have the tags."""
    contacts, tags = world.external.contacts, _tags(world, body)
    if ids:
        return contacts.reach(ids, sender, world.settings.external.customers)
    if sender is None and not tags:
        raise Refused(40058, "invalid param 'external_userid'")
    everybody = contacts.everybody() if sender is None else {sender: contacts.customers_of(sender)}
    chosen = {member: contacts.tagged(customers, tags) for member, customers in everybody.items()}
    return Reach({member: customers for member, customers in chosen.items() if customers})


def _tags(world: "World", body: Json) -> list[list[str]]:
    holder = body.get("tag_filter")
    groups: Any = holder.get("group_list") if isinstance(holder, dict) else None
    lists: list[Any] = [
        group.get("tag_list") for group in (groups if isinstance(groups, list) else ()) if isinstance(group, dict)
    ]
    if any(not isinstance(tags, list) or len(tags) > TAGS_PER_LIST for tags in lists):
        raise Refused(40058, "invalid param 'tag_filter'")
    if not all(isinstance(tag, str) for tags in lists for tag in tags):
        raise Refused(40058, "invalid param 'tag_filter'")
    if not all(world.external.contacts.has_tag(tag) for tags in lists for tag in tags):
        raise Refused(40068)
    return lists


def _ids(body: Json, name: str, most: int, found: Findings) -> list[str]:
    ids = typed(body, name, list, found) or []
    if len(ids) > most:
        raise Refused(40058, f"{name} exceed max length {most}. invalid Request Parameter")
    return [str(one) for one in ids]


def _check_sender(world: "World", app: App, sender: str) -> None:
    codes, visible = world.settings.external, app.settings.visible
    if not world.directory.exists(sender) and codes.missing_sender_code:
        raise Refused(codes.missing_sender_code)
    outside = visible is not None and sender.lower() not in {one.lower() for one in visible}
    if outside and codes.invisible_sender_code:
        raise Refused(codes.invisible_sender_code)


def _without_capped(world: "World", app: App, reach: Reach) -> Reach:
    if not world.settings.external.capped_in_fail_list:
        return reach
    for member, ids in reach.by_member.items():
        full = [one for one in ids if world.external.caps.is_used_up(app.corpid, one)]
        reach.by_member[member] = [one for one in ids if one not in full]
        reach.failed += full
    return reach


def _refuse_nobody(world: "World", reach: Reach) -> None:
    """Refuse a task without recipients, except one whose owner is to choose groups: it has none yet, and no failed."""
    codes = world.settings.external
    if any(reach.by_member.values()) or (reach.by_member and not reach.failed):
        return
    code = codes.malformed_code if reach.failed and reach.malformed == len(reach.failed) else codes.nobody_code
    if code:
        raise Refused(code, fail_list=reach.failed)
