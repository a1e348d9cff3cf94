"""The API calls of group sends."""

import re
from collections.abc import Callable
from typing import Any

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls.envelope import authorise, parse
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external import creating
from worker_simulator.wecom_external.tasks import MEMBER_SENT, SENT, WAITING, GroupSendTask

MONTH = 31 * 86_400
CURSOR = re.compile(r"CURSOR-([0-9]{1,9})")


def list_tasks(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_groupmsg_list_v2 (93338): tasks of at most a month. Those of an API call have no creator."""
    app, body = _authorised(state, request)
    start: Any = body.get("start_time")
    end: Any = body.get("end_time")
    if body.get("chat_type") not in ("single", "group") or not _is_span(start, end):
        raise Refused(40058)
    tasks = [
        task
        for task in state.external.all_of(app.corpid, body["chat_type"])
        if start <= task.created_at <= end and _matches(task, body)
    ]
    return _page(state, body, "group_msg_list", [_task_entry(task) for task in tasks], default=50, max_size=100)


def list_members(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_groupmsg_task (93338): every member of a task. Status 1 is not used."""
    app, body = _authorised(state, request)
    task = _readable(state, app, body)
    entries = []
    for member in task.members.values():
        sent = {"send_time": int(member.sent_at)} if member.status == MEMBER_SENT and member.sent_at else {}
        if _is_visible(app, member.userid):
            entries.append({"userid": member.userid, "status": member.status, **sent})
    return _page(state, body, "task_list", entries, default=500, max_size=1000)


def list_results(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_groupmsg_send_result (93338): a member's recipients. Groups are listed once they were sent to."""
    app, body = _authorised(state, request)
    task = _readable(state, app, body)
    userid = body.get("userid")
    member = task.members.get(str(userid))
    if not userid or member is None or not _is_visible(app, member.userid):
        raise Refused(40003)
    name = "chat_id" if task.chat_type == "group" else "external_userid"
    hidden = task.chat_type == "group" or not state.settings.external.unsent_listed
    entries = []
    for recipient, result in member.results.items():
        if hidden and result.status == WAITING:
            continue
        sent = {"send_time": int(result.sent_at)} if result.status == SENT and result.sent_at else {}
        entries.append({name: recipient, "userid": member.userid, "status": result.status, **sent})
    return _page(state, body, "send_list", entries, default=500, max_size=1000)


def _is_span(start: Any, end: Any) -> bool:
    return type(start) is int and type(end) is int and 0 <= end - start <= MONTH


def _matches(task: GroupSendTask, body: Json) -> bool:
    filter_type = body.get("filter_type", 2)
    return filter_type in (2, task.create_type) and body.get("creator") in (None, "", task.creator)


def _task_entry(task: GroupSendTask) -> Json:
    creator = {"creator": task.creator} if task.creator else {}
    return {
        "msgid": task.msgid,
        **creator,
        "create_time": str(int(task.created_at)),
        "create_type": task.create_type,
        **_listed_content(task.content),
    }


def _listed_content(content: Json) -> Json:
    """Returns the content as the list of tasks does: a mini program without its cover."""
    attachments = []
    for entry in content.get("attachments", ()):
        fields = {name: value for name, value in entry[entry["msgtype"]].items() if name != "pic_media_id"}
        attachments.append({"msgtype": entry["msgtype"], entry["msgtype"]: fields})
    return {**content, "attachments": attachments}


def _readable(state: VendorState, app: App, body: Json) -> GroupSendTask:
    task = state.external.of(app.corpid, body.get("msgid"))
    if task.cancelled_at is not None and state.settings.external.cancelled_query_code:
        raise Refused(state.settings.external.cancelled_query_code)
    return task


def _is_visible(app: App, userid: str) -> bool:
    visible = app.settings.visible
    return visible is None or userid.lower() in {member.lower() for member in visible}


def _page(state: VendorState, body: Json, name: str, entries: list[Json], *, default: int, max_size: int) -> HttpAnswer:
    """Returns one page. A limit above the maximum counts as the default. The cursor is empty after the last page."""
    limit = body.get("limit")
    size = limit if type(limit) is int and 0 < limit <= max_size else default
    size = min(size, state.settings.external.max_page_size or size)
    start = _start(body.get("cursor"), len(entries))
    following = f"CURSOR-{start + size}" if start + size < len(entries) else ""
    page: Json = {name: entries[start : start + size]}
    return accepted(next_cursor=following, **page)


def _start(cursor: Any, count: int) -> int:
    if cursor in (None, ""):
        return 0
    match = CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None or int(match[1]) > count:
        raise Refused(50100)
    return int(match[1])


def add_msg_template(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers add_msg_template (92135)."""
    app, body = _authorised(state, request)
    return creating.create(state, app, body, request.seq)


def remind(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers remind_groupmsg_send (97610)."""
    app, body = _authorised(state, request)
    state.external.remind(state.external.of(app.corpid, body.get("msgid")))
    return accepted()


def cancel(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers cancel_groupmsg_send (97611): 0 even if everything was sent."""
    app, body = _authorised(state, request)
    state.external.cancel(state.external.of(app.corpid, body.get("msgid")))
    return accepted()


def _authorised(state: VendorState, request: HttpRequest) -> tuple[App, Json]:
    app = authorise(state, request)
    if not state.settings.external.permitted or not app.settings.group_sends:
        raise Refused(48002)
    return app, parse(request, state.settings.codes)


ROUTES: dict[str, Callable[[VendorState, HttpRequest], HttpAnswer]] = {
    "/cgi-bin/externalcontact/add_msg_template": add_msg_template,
    "/cgi-bin/externalcontact/get_groupmsg_list_v2": list_tasks,
    "/cgi-bin/externalcontact/get_groupmsg_task": list_members,
    "/cgi-bin/externalcontact/get_groupmsg_send_result": list_results,
    "/cgi-bin/externalcontact/remind_groupmsg_send": remind,
    "/cgi-bin/externalcontact/cancel_groupmsg_send": cancel,
}
