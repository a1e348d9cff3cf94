"""What became of tasks, page by page (93338 获取企业的全部群发记录, 获取群发成员发送任务列表 and 执行结果).

Does not know HTTP and how tasks are made.
"""

import re
from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import Json
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external.state.tasks import MEMBER_SENT, SENT, WAITING, GroupSendTask

if TYPE_CHECKING:
    from worker_simulator.world import World

MONTH = 31 * 86_400
CURSOR = re.compile(r"CURSOR-([0-9]{1,9})")


def tasks(world: "World", app: App, body: Json) -> HttpAnswer:
    """get_groupmsg_list_v2: tasks of a span of at most a month; those made by an API call have no creator."""
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


def members(world: "World", app: App, body: Json) -> HttpAnswer:
    """get_groupmsg_task: every member's part of a task; 1 is not used as a status."""
    task = _readable(world, app, body)
    found = []
    for one in task.members.values():
        sent = {"send_time": int(one.sent_at)} if one.status == MEMBER_SENT and one.sent_at else {}
        if _is_visible(app, one.userid):
            found.append({"userid": one.userid, "status": one.status, **sent})
    return _page(world, body, "task_list", found, default=500, most=1000)


def results(world: "World", app: App, body: Json) -> HttpAnswer:
    """get_groupmsg_send_result: a member's recipients; groups only once they were sent to."""
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
