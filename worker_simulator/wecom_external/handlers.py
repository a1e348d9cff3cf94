"""The calls of group sends: each is authorised, counted and carried out.

Does not know HTTP, and what a task is.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.wecom_app.calls.envelope import parse
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external import creating
from worker_simulator.wecom_external.tasks import MEMBER_SENT, SENT, WAITING, GroupSendTask

if TYPE_CHECKING:
    from worker_simulator.world import World

MONTH = 31 * 86_400
CURSOR = re.compile(r"CURSOR-([0-9]{1,9})")


def list_tasks(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_list_v2 (93338): tasks of at most a month; those of an API call have no creator."""
    app, body = _authorised(world, request)
    start: Any = body.get("start_time")
    end: Any = body.get("end_time")
    if body.get("chat_type") not in ("single", "group") or not _is_span(start, end):
        raise Refused(40058)
    found = [
        task
        for task in world.external.all_of(app.corpid, body["chat_type"])
        if start <= task.created_at <= end and _is_wanted(task, body)
    ]
    return _page(world, body, "group_msg_list", [_listed(task) for task in found], default=50, most=100)


def list_members(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_task (93338): every member's part of a task; 1 is not used as a status."""
    app, body = _authorised(world, request)
    task = _readable(world, app, body)
    found = []
    for one in task.members.values():
        sent = {"send_time": int(one.sent_at)} if one.status == MEMBER_SENT and one.sent_at else {}
        if _is_visible(app, one.userid):
            found.append({"userid": one.userid, "status": one.status, **sent})
    return _page(world, body, "task_list", found, default=500, most=1000)


def list_results(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_send_result (93338): a member's recipients; groups only once they were sent to."""
    app, body = _authorised(world, request)
    task = _readable(world, app, body)
    userid = body.get("userid")
    member = task.members.get(str(userid))
    if not userid or member is None or not _is_visible(app, member.userid):
        raise Refused(40003)
    name = "chat_id" if task.chat_type == "group" else "external_userid"
    hidden = task.chat_type == "group" or not world.settings.external.unsent_listed
    found = []
    for recipient, result in member.results.items():
        if hidden and result.status == WAITING:
            continue
        sent = {"send_time": int(result.sent_at)} if result.status == SENT and result.sent_at else {}
        found.append({name: recipient, "userid": member.userid, "status": result.status, **sent})
    return _page(world, body, "send_list", found, default=500, most=1000)


def _is_span(start: Any, end: Any) -> bool:
    return type(start) is int and type(end) is int and 0 <= end - start <= MONTH


def _is_wanted(task: GroupSendTask, body: Json) -> bool:
    wanted = body.get("filter_type", 2)
    return wanted in (2, task.create_type) and body.get("creator") in (None, "", task.creator)


def _listed(task: GroupSendTask) -> Json:
    creator = {"creator": task.creator} if task.creator else {}
    return {
        "msgid": task.msgid,
        **creator,
        "create_time": str(int(task.created_at)),
        "create_type": task.create_type,
        **_told(task.content),
    }


def _told(content: Json) -> Json:
    """Text and attachments as the list of tasks shows them: a mini program without its cover."""
    shown = []
    for entry in content.get("attachments", ()):
        own = {name: value for name, value in entry[entry["msgtype"]].items() if name != "pic_media_id"}
        shown.append({"msgtype": entry["msgtype"], entry["msgtype"]: own})
    return {**content, "attachments": shown}


def _readable(world: "World", app: App, body: Json) -> GroupSendTask:
    task = world.external.of(app.corpid, body.get("msgid"))
    if task.cancelled_at is not None and world.settings.external.cancelled_query_code:
        raise Refused(world.settings.external.cancelled_query_code)
    return task


def _is_visible(app: App, userid: str) -> bool:
    visible = app.settings.visible
    return visible is None or userid.lower() in {one.lower() for one in visible}


def _page(world: "World", body: Json, name: str, found: list[Json], *, default: int, most: int) -> HttpAnswer:
    """One page; a limit beyond the maximum counts as the default, the cursor is empty after the last."""
    limit = body.get("limit")
    size = limit if type(limit) is int and 0 < limit <= most else default
    size = min(size, world.settings.external.page_most or size)
    start = _start(body.get("cursor"), len(found))
    following = f"CURSOR-{start + size}" if start + size < len(found) else ""
    page: Json = {name: found[start : start + size]}
    return accepted(next_cursor=following, **page)


def _start(cursor: Any, count: int) -> int:
    if cursor in (None, ""):
        return 0
    match = CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None or int(match[1]) > count:
        raise Refused(50100)
    return int(match[1])


def add_msg_template(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/add_msg_template (92135)."""
    app, body = _authorised(world, request)
    return creating.create(world, app, body, request.seq)


def remind(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/remind_groupmsg_send (97610)."""
    app, body = _authorised(world, request)
    world.external.remind(world.external.of(app.corpid, body.get("msgid")))
    return accepted()


def cancel(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/cancel_groupmsg_send (97611): 0 also when everything was sent."""
    app, body = _authorised(world, request)
    world.external.cancel(world.external.of(app.corpid, body.get("msgid")))
    return accepted()


def _authorised(world: "World", request: HttpRequest) -> tuple[App, Json]:
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    world.limits.count_call(app.corpid, request.path, request.ip, request.seq)
    if not world.settings.external.permitted or not app.settings.group_sends:
        raise Refused(48002)
    return app, parse(request, world.settings.codes)


ROUTES: dict[str, Callable[["World", HttpRequest], HttpAnswer]] = {
    "/cgi-bin/externalcontact/add_msg_template": add_msg_template,
    "/cgi-bin/externalcontact/get_groupmsg_list_v2": list_tasks,
    "/cgi-bin/externalcontact/get_groupmsg_task": list_members,
    "/cgi-bin/externalcontact/get_groupmsg_send_result": list_results,
    "/cgi-bin/externalcontact/remind_groupmsg_send": remind,
    "/cgi-bin/externalcontact/cancel_groupmsg_send": cancel,
}
