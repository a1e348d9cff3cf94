"""Tracks a task: which of its members have confirmed, and the result for each customer or group.

Page 93338 (获取企业群发成员执行结果). First it reads the members' tasks, page by page, then the recipients of each
member who has sent. The caller chooses the next member: a page's outcome only says where its own paging continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.wecom.answer import ERRCODES, Answer, integer, moment, text_of
from worker.domain.job import Part
from worker.domain.outcome import Accepted, CallReceipt, Confirmation, Outcome, Progress, Retry
from worker.language import plural

TASK_PATH = "/cgi-bin/externalcontact/get_groupmsg_task"
RESULT_PATH = "/cgi-bin/externalcontact/get_groupmsg_send_result"
PAGE = 1000
"""Entries of one page, at most. More would be answered with 500."""
PAGE_PAUSE_S = 1.0
"""Seconds between two pages. Members confirm slowly, so a campaign need not be read fast."""
MAX_PAGES = 1000
"""Pages of one paging, at most: a million entries. It ends cursors in a circle, and the next round reads again."""

TASK, RESULT = "task", "result"
NEXT_MEMBER = {"step": RESULT, "member": None, "cursor": "", "pages": 0}
TASK_STATES = (0, 2)
"""States of a member: not sent yet, sent. 1 is not used."""
RESULT_STATES = (0, 1, 2, 3)
"""States of a recipient: not sent yet, sent, no longer a contact of the member, cap used up by other group messages."""

CANCELLED = 41093
BAD_CURSOR = 50100
NO_MEMBER = (40003, 60111)
"""Codes for a member who left the corp, or whom the app no longer sees."""


def path_of(part: Part) -> str:
    """Returns the path of the next call."""
    return RESULT_PATH if part.spec.get("step") == RESULT else TASK_PATH


def body_of(part: Part) -> dict[str, Any]:
    """Returns the body of the next call."""
    if part.spec.get("step") == RESULT:
        return result_body(part.spec["msgid"], part.spec["member"], part.spec.get("cursor"))
    return task_body(part.spec["msgid"], part.spec.get("cursor"))


def task_body(msgid: str, cursor: str | None) -> dict[str, Any]:
    """Returns the body of get_groupmsg_task."""
    return {"msgid": msgid, "limit": PAGE, **({"cursor": cursor} if cursor else {})}


def result_body(msgid: str, member: str, cursor: str | None) -> dict[str, Any]:
    """Returns the body of get_groupmsg_send_result."""
    return {**task_body(msgid, cursor), "userid": member}


def outcome(part: Part, answer: Answer) -> Outcome:
    """Returns what a page shows, and where the paging continues."""
    if answer.errcode != 0:
        return _refused(part, answer)
    cursor, pages = next_cursor(answer, part.spec.get("cursor")), int(part.spec.get("pages") or 0) + 1
    is_result = part.spec.get("step") == RESULT
    found = tuple(_results(str(part.spec["member"]), answer.data) if is_result else _tasks(answer.data))
    goes_on = {"step": RESULT if is_result else TASK, "cursor": cursor, "pages": pages}
    following = goes_on if cursor and pages < MAX_PAGES else NEXT_MEMBER
    read = plural(len(found), "recipient" if is_result else "member")
    reason = f"read {read} of its task"
    return Progress({**part.spec, **following}, reason, PAGE_PAUSE_S, found)


def next_cursor(answer: Answer, current: Any) -> str:
    """Returns where the next page begins, or an empty text after the last. A cursor to itself ends the paging."""
    cursor = text_of(answer.data.get("next_cursor")) or ""
    return "" if cursor == (current or "") else cursor


def entries(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Returns the objects of a page, without entries that are no objects."""
    listed = data.get(name)
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _tasks(data: Mapping[str, Any]) -> Iterator[Confirmation]:
    for entry in entries(data, "task_list"):
        member, status = text_of(entry.get("userid")), integer(entry, "status")
        if member and status in TASK_STATES:
            yield Confirmation(member, "", status, moment(entry, "send_time") or None)


def _results(member: str, data: Mapping[str, Any]) -> Iterator[Confirmation]:
    for entry in entries(data, "send_list"):
        recipient, status = recipient_of(entry), integer(entry, "status")
        if recipient and status in RESULT_STATES:
            yield Confirmation(member, recipient, status, moment(entry, "send_time") or None)


def recipient_of(entry: Mapping[str, Any]) -> str | None:
    """Returns the customer, or for a send to groups the group."""
    return text_of(entry.get("external_userid")) or text_of(entry.get("chat_id"))


def _refused(part: Part, answer: Answer) -> Outcome:
    """Handles a page that cannot be read: its paging begins again or is passed, or tracking ends."""
    code, pages = answer.errcode, int(part.spec.get("pages") or 0) + 1
    if code == BAD_CURSOR and part.spec.get("cursor") and pages < MAX_PAGES:
        # Not left for the next round: if no entry of the pages that were read waits, no later round reads the rest.
        again = {"cursor": "", "pages": pages}
        return Progress({**part.spec, **again}, f"{code}: the paging begins again", PAGE_PAUSE_S)
    if code == BAD_CURSOR:
        return Retry(f"{code} on the first page, or too often")
    if code in NO_MEMBER and part.spec.get("step") == RESULT:
        reason = f"{code}: the vendor reports nothing more of a member who has left"
        return Progress({**part.spec, **NEXT_MEMBER}, reason, PAGE_PAUSE_S)
    if code == CANCELLED:
        return Accepted(
            CallReceipt(warning=f"{code}: the task was cancelled; what had been sent until then stays sent")
        )
    return ERRCODES.outcome(code)
