"""Finds what is wrong with a job, all at once, before anything is stored, and what may surprise its sender.

Refuses what the vendor would cut, drop or ignore in silence, and what it is known to refuse.

A link with `action` = 1 makes the client add the member's `userName` and `token` to the URL, which log in as the
member. So such a link may lead only to hosts that the account names. The client must see the same host as this check,
so an address that two programs could read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.job import (
    Checks,
    body_problems,
    content_of,
    file_places,
    misplaced,
    no_object,
    type_problems,
    upload_problems,
    url_problems,
)
from worker.channels.checking.plain import unfit_text
from worker.channels.checking.row import R, Row
from worker.channels.checking.targets import no_targets
from worker.channels.typed import rows_of
from worker.channels.youdu import targets
from worker.channels.youdu.account import max_upload
from worker.channels.youdu.messages import (
    BADGE,
    CLASSES,
    OURS,
    POP_WINDOW,
    SEND,
    SENDS,
    UPLOAD,
    Badge,
    ItemsMessage,
    PopWindow,
    fields_of_other_actions,
)
from worker.channels.youdu.targets import call_count
from worker.domain.account import Account
from worker.domain.errors import Problem
from worker.domain.job import Draft

BODIES: Mapping[str, tuple[Row, ...]] = {
    msgtype: rows_of(message)
    if issubclass(message, ItemsMessage)
    else (R(msgtype, dict, required=True), *rows_of(message, msgtype))
    for msgtype, message in CLASSES.items()
}
"""The rows of the whole body, by msgType. A type that is not listed is sent as it is (`Raw`)."""
WINDOW_ROWS: tuple[Row, ...] = (R("popWindow", dict, required=True), *rows_of(PopWindow, "popWindow"))
BADGE_ROWS = rows_of(Badge)

UPLOAD_TYPES = ("image", "file", "voice", "video")
"""Other types: 200009."""
NOT_SENT = ("upload", "pop_window", "badge", "popWindow")


def body_rows(kind: str, msgtype: str) -> tuple[Row, ...]:
    """Returns the rows of a message, or none for a type we do not model."""
    if kind == POP_WINDOW:
        return WINDOW_ROWS
    if kind == BADGE:
        return BADGE_ROWS
    return BODIES.get(msgtype, ())


def bodies(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the body: once, or once for each piece of a split text."""
    body = document["body"]
    if "pieces" in document:
        yield from ({**body, "text": {**body["text"], "content": piece}} for piece in document["pieces"])
    else:
        yield body


def _type_problems(draft: Draft) -> Iterator[Problem]:
    return type_problems(draft, "msgType", NOT_SENT, "use Upload(...), PopWindow(...) or Badge(...)")


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    yield from body_problems(draft, OURS, None)
    if not isinstance(body, Mapping):
        return
    rows = body_rows(draft.kind, msgtype)
    if rows:
        files = draft.message.get("files") or {}
        for one in bodies(draft.message):
            yield from rules.problems("", one, rows, files)
    elif not isinstance(body.get(msgtype), Mapping | list):
        yield no_object(draft, "msgType", "an object or array")


def _system_problems(draft: Draft) -> Iterator[Problem]:
    """Checks that a system message has entries, and that each is either a text or a link."""
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


def _inside(draft: Draft, msgtype: str) -> Mapping[str, Any]:
    """Returns the object of a type, or an empty one if the message has another type or no object."""
    return (content_of(draft.message) if draft.message.get("type") == msgtype else None) or {}


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the files of a send: each fills an empty path of the body and suits its upload type."""
    body, rows = draft.message.get("body"), body_rows(draft.kind, str(draft.message.get("type")))
    wanted = file_places("", body, rows) if isinstance(body, Mapping) else {}
    for path, file in (draft.message.get("files") or {}).items():
        yield from _file_problems(draft.account, path, file)
        yield from misplaced(draft.message, path, file, wanted, UPLOAD_TYPES)


def _upload_problems(draft: Draft) -> Iterator[Problem]:
    return upload_problems(draft, partial(_file_problems, draft.account))


_URL = re.compile(
    r"https?://(?P<host>[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?:[/?#][!#-\[\]-~]*)?",
    re.IGNORECASE,
)
"""A plain host, followed by printable ASCII without quotes and backslashes (which browsers read as /)."""
PLACES = {"link": "link.url", "sysMsg": "sysMsg.msg[].link.url"}
ADD = "add it to the account's sso_hosts, or use action 0"


def _login_problems(draft: Draft) -> Iterator[Problem]:
    """Finds links that would pass a login to a host the account does not name."""
    path, body = PLACES.get(str(draft.message.get("type"))), draft.message.get("body")
    hosts = {str(host).lower() for host in draft.account.settings.get("sso_hosts") or ()}
    if path is None or not isinstance(body, Mapping):
        return
    for at, holder, name in rules.places("", body, path):
        url = holder.get(name)
        if holder.get("action") in (None, 0) or not isinstance(url, str) or not url:
            continue  # the rows report an address that is missing
        found = _URL.fullmatch(url)
        if found is None:
            text = "is no plain web address, and action 1 adds the member's login to it"
            yield Problem(at, text, "write http(s)://host/path, percent-encoded, without a user")
            continue
        host, port = found["host"].lower().rstrip("."), found["port"] or ""
        if host not in hosts and f"{host}{port}" not in hosts:
            yield Problem(at, "leads to a host that may not be handed the member's login (action 1)", ADD)


def _file_problems(account: Account, path: str, file: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds every reason why a file cannot be uploaded. The name travels encrypted in JSON, so it may be any text."""
    name, size = str(file.get("name") or ""), file.get("size") or 0
    most = max_upload(account)
    if not name.strip():
        yield Problem(f"{path}.filename", "is empty", "give the file a name")
    yield from unfit_text(f"{path}.filename", name, None)
    if file.get("upload_type") not in UPLOAD_TYPES:
        text = "has no such upload type (vendor code 200009)"
        yield Problem(path, text, f"use one of {', '.join(UPLOAD_TYPES)}")
    if "url" in file:  # its size is checked once it was fetched
        yield from url_problems(path, file["url"])
    elif size < 1:
        yield Problem(path, "is empty, and the vendor's clients refuse such a file", "send a real file")
    elif size > most:
        text = "is larger than the account allows (the vendor documents no limit)"
        yield Problem(path, text, "make it smaller, or raise upload_max_bytes", most, "bytes", size)


_MESSAGE = (_body_problems, targets.problems)
CHECKS: Checks = {
    SEND: (_type_problems, *_MESSAGE, _system_problems, _login_problems, _attached_problems),
    POP_WINDOW: _MESSAGE,
    BADGE: _MESSAGE,
    UPLOAD: (_upload_problems, no_targets),
}
"""The checks of each kind of job."""


def warnings(draft: Draft) -> list[str]:
    """Returns a sentence for each thing worth a warning."""
    return (
        [*_row_cautions(draft), *_content(draft), *_mail(draft), *_names(draft), *_twice(draft)]
        if draft.kind in SENDS
        else []
    )


def _row_cautions(draft: Draft) -> list[str]:
    rows = body_rows(draft.kind, str(draft.message["type"]))
    return rules.cautions("", next(bodies(draft.message)), rows)


def _content(draft: Draft) -> Iterator[str]:
    body: Mapping[str, Any] = draft.message["body"]
    if draft.kind == POP_WINDOW and body["popWindow"].get("url") and body["popWindow"].get("tip"):
        yield "popWindow.tip: not shown beside a url"
    if draft.kind == BADGE and body.get("count") == 0 and body.get("tip"):
        yield "tip: not shown with a count of 0"
    if draft.message["type"] == "exlink":
        files = draft.message.get("files") or {}
        for n, item in enumerate(body["exlink"]):
            if not item.get("media_id") and f"exlink.{n}.media_id" not in files:
                yield f"exlink[{n}].media_id: is empty; the documentation requires a cover, the vendor's SDK sends none"


def _mail(draft: Draft) -> Iterator[str]:
    """Finds what the vendor ignores in a mail although its page's sample has it: addresses, other actions' fields."""
    mail = _inside(draft, "mail")
    if mail.get("fromUser") and mail.get("fromEmail"):
        yield "mail.fromEmail: ignored beside fromUser"
    action = mail.get("action")
    for name in fields_of_other_actions(action):
        if mail.get(name) is not None:
            yield f"mail.{name}: ignored with action {action}"


def _names(draft: Draft) -> Iterator[str]:
    """Finds accounts that are meant for everyone, or for several."""
    if any(user.lower() in ("all", "@all") for user in draft.recipients.users):
        yield "toUser: names an account all; a broadcast is Everyone()"
    if any("," in user or "，" in user for user in draft.recipients.users):
        yield "toUser: an account holds a comma; several accounts are a list, or separated by |"


def _twice(draft: Draft) -> Iterator[str]:
    """Finds members that may be reached twice. The documentation does not say what happens to duplicates."""
    asked, calls = draft.recipients, call_count(draft)
    if not asked.parties:
        return
    if calls > 1:
        yield f"goes in {calls} calls and holds departments: a member of several can be reached twice"
    elif asked.users or len(asked.parties) > 1:
        yield "a member who is named in several ways may be reached twice: the vendor does not say"
