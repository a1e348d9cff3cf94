"""What is wrong with a job, all of it at once, before anything is stored.

Refused is what the vendor would cut, drop or ignore in silence, and what it is known to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from worker.channels.checking import plain, rules
from worker.channels.checking.attached import file_places, misplaced
from worker.channels.youdu import fields, targets, upload
from worker.channels.youdu.checks import login
from worker.channels.youdu.checks.roles import NEEDED, WHERE, Role, role_of
from worker.channels.youdu.messages.content import BADGE, POP_WINDOW, SEND, UPLOAD, bodies, rows_of
from worker.domain.errors import Problem
from worker.domain.job import Draft

MSGTYPE = re.compile(r"[0-9A-Za-z_]{1,64}")
NOT_SENT = ("upload", "pop_window", "badge", "popWindow")


def check(draft: Draft) -> list[Problem]:
    """Every wrong field of the job, in the vendor's names."""
    checks = CHECKS.get(draft.kind)
    if checks is None:
        return [Problem("kind", "Youdu has no such call", f"use one of {', '.join(CHECKS)}")]
    found: list[Problem] = []
    for one in checks:
        found.extend(one(draft))
    return list(dict.fromkeys(found))


def _role_problems(draft: Draft) -> Iterator[Problem]:
    """Checks that the account's app may send this kind; which app a type we do not model needs is not known."""
    msgtype = str(draft.message.get("type"))
    if draft.kind == SEND and msgtype not in fields.BODIES["characters"]:
        return
    needed, role = NEEDED.get(msgtype, Role.MESSAGE), role_of(draft.account)
    if role is not needed:
        what = msgtype if draft.kind == SEND else draft.kind
        text = f"an app of the role {role} may not send {what} (vendor code 100005)"
        yield Problem("appId", text, f"use an account of the role {needed}: {WHERE[needed]}")


def _type_problems(draft: Draft) -> Iterator[Problem]:
    msgtype = draft.message.get("type")
    if not isinstance(msgtype, str) or not MSGTYPE.fullmatch(msgtype):
        yield Problem("msgType", "is not the name of a message type", "use the vendor's name")
    elif msgtype in NOT_SENT:
        yield Problem("msgType", "is not a message of msg/send", "use Upload(...), PopWindow(...) or Badge(...)")


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    if not isinstance(body, Mapping):
        yield Problem("body", "is not an object", "give the vendor's fields as a dict")
        return
    yield from plain.unfit("", body, None)
    yield from plain.unfit("pieces", draft.message.get("pieces"), None)
    taken = sorted(name for name in body if name in fields.OURS)
    yield from (Problem(name, "is set by the worker", "leave it out of the body") for name in taken)
    rows = rows_of(draft.kind, msgtype, draft.account)
    if rows:
        files = draft.message.get("files") or {}
        for one in bodies(draft.message):
            yield from rules.problems("", one, rows, files)
    elif not isinstance(body.get(msgtype), Mapping | list):
        shown = msgtype if MSGTYPE.fullmatch(msgtype) else "msgType"
        yield Problem(f"body.{shown}", "is missing", "the body needs an object or array named like its msgType")


def _system_problems(draft: Draft) -> Iterator[Problem]:
    """A system message has entries, and each is either a text or a link."""
    online = (draft.message.get("options") or {}).get("onlyOnline")
    if online is not None and type(online) is not bool:
        yield Problem("toAll.onlyOnline", "is not true or false", "use true or false")
    if online is not None and not draft.recipients.everyone:
        yield Problem("toAll.onlyOnline", "is for everyone only", "use Everyone(), or leave only_online out")
    msg = _inside(draft, "sysMsg").get("msg")
    if not isinstance(msg, list):
        return
    if not msg:
        yield Problem("sysMsg.msg", "is empty", "give at least one text or link")
    for n, item in enumerate(msg):
        if isinstance(item, Mapping) and (len(item) != 1 or not item.keys() <= {"text", "link"}):
            yield Problem(f"sysMsg.msg[{n}]", "is not exactly one of text and link", "give one entry for each")


def _mail_problems(draft: Draft) -> Iterator[Problem]:
    """What the vendor ignores in a mail: an address beside an account, and the fields of the other action."""
    mail = _inside(draft, "mail")
    if mail.get("fromUser") and mail.get("fromEmail"):
        yield Problem("mail.fromEmail", "is ignored beside fromUser", "give one of the two")
    given = mail.get("action")
    for action, names in fields.MAIL_OF.items():
        if given in list(fields.MAIL_OF) and given != action:
            for name in names:
                if mail.get(name) is not None:
                    yield Problem(f"mail.{name}", f"belongs to action {action}", f"leave it out, or use {action}")


def _inside(draft: Draft, msgtype: str) -> Mapping[str, Any]:
    """The object of a type; empty where the message is of another, or has none."""
    body = draft.message.get("body")
    inner = body.get(msgtype) if isinstance(body, Mapping) and draft.message.get("type") == msgtype else None
    return inner if isinstance(inner, Mapping) else {}


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Files of a send: each fills an empty place of the body and is fit for its upload type."""
    files, wanted = draft.message.get("files"), _media_places(draft)
    for path, file in (files or {}).items():
        yield from upload.file_problems(draft.account, path, file)
        yield from misplaced(draft.message, path, file, wanted, fields.UPLOAD_TYPES)


def _media_places(draft: Draft) -> dict[str, str]:
    """Where a media_id can stand, and the upload type it has to be of."""
    body = draft.message.get("body")
    if not isinstance(body, Mapping):
        return {}
    return file_places("", body, rows_of(draft.kind, str(draft.message.get("type")), draft.account))


def _upload_problems(draft: Draft) -> Iterator[Problem]:
    file = (draft.message.get("files") or {}).get("media")
    if file is None:
        yield Problem("media", "there is no file", "use Upload(file=..., upload_type=...)")
    else:
        yield from upload.file_problems(draft.account, "media", file)


_MESSAGE = (_role_problems, _body_problems, targets.problems)
CHECKS: Mapping[str, tuple[Callable[[Draft], Iterable[Problem]], ...]] = {
    SEND: (
        _type_problems,
        *_MESSAGE,
        _system_problems,
        _mail_problems,
        login.problems,
        _attached_problems,
    ),
    POP_WINDOW: _MESSAGE,
    BADGE: _MESSAGE,
    UPLOAD: (_role_problems, _upload_problems, targets.no_targets),
}
"""The checks of each kind of job."""
