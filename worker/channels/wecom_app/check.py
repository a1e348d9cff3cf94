"""What is wrong with a job, all of it at once, before anything is stored.

Refused is what the vendor would cut, drop or ignore in silence, and what it is known to refuse. Advised lengths warn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from worker.channels.wecom_app import fields, plain, rules, targets, upload
from worker.channels.wecom_app.split import call_count
from worker.domain.errors import Problem
from worker.domain.job import Draft

MSGTYPE = re.compile(r"[0-9A-Za-z_]{1,64}")


def check(draft: Draft) -> list[Problem]:
    """Every wrong field of the job, in the vendor's names."""
    checks = CHECKS.get(draft.kind)
    if checks is None:
        return [Problem("kind", "this channel does not know it", f"use one of {', '.join(CHECKS)}")]
    found: list[Problem] = []
    for one in checks:
        found.extend(one(draft))
    return found


def warnings(draft: Draft) -> list[str]:
    """What is allowed but worth saying."""
    tree, found = draft.message, []
    card = card_of(tree)
    if card is not None:
        root = "template_card"
        found += rules.over_advised(root, card, fields.CARDS.get(str(card.get("card_type")), ()))
    asked = draft.recipients
    if draft.kind == "send" and (asked.parties or asked.tags) and (calls := call_count(asked)) > 1:
        found.append(f"goes in {calls} calls and holds parties or tags: a member of several can be reached twice")
    return found


def card_of(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The card of a send or of an update, if there is one."""
    holder = message if message.get("type") == "card_update" else message.get("body")
    card = holder.get("template_card") if isinstance(holder, Mapping) else None
    return card if isinstance(card, Mapping) else None


def calls_back(card: Mapping[str, Any]) -> bool:
    """Whether members can answer on the card: such cards need a callback URL and give a response_code (90236)."""
    return card.get("card_type") in fields.INTERACTIVE or bool(card.get("action_menu"))


def _type_problems(draft: Draft) -> Iterator[Problem]:
    msgtype = draft.message.get("type")
    if not isinstance(msgtype, str) or not MSGTYPE.fullmatch(msgtype):
        yield Problem("msgtype", "is not the name of a message type (vendor code 40008)", "use the vendor's name")
    elif msgtype in ("upload", "card_update"):
        yield Problem("msgtype", "is not a message to send", "use the job kind made for it")


def _body_problems(draft: Draft) -> Iterator[Problem]:
    msgtype, body = str(draft.message.get("type")), draft.message.get("body")
    if not isinstance(body, Mapping):
        yield Problem("body", "is not an object", "give the vendor's fields as a dict")
        return
    yield from plain.unfit("", body)
    if not fields.OURS.isdisjoint(body):
        taken = sorted(name for name in body if name in fields.OURS)
        yield from (Problem(name, "is set by the worker", "leave it out of the body") for name in taken)
    if isinstance(body.get(msgtype), Mapping):
        yield from _content_problems(msgtype, body[msgtype], draft.message.get("files") or {})
    else:
        shown = msgtype if MSGTYPE.fullmatch(msgtype) else "msgtype"
        yield Problem(f"body.{shown}", "is missing", "the body needs an object named like its msgtype")
    yield from _envelope_problems(msgtype, body)


def _content_problems(msgtype: str, content: Mapping[str, Any], files: Mapping[str, Any]) -> Iterable[Problem]:
    if msgtype == "template_card":
        return _card_problems(content, [fields.TASK_ID], files)
    return rules.problems(msgtype, content, fields.BODIES.get(msgtype, ()), files)


def _card_problems(
    card: Mapping[str, Any], more: Iterable[fields.FieldRule], files: Mapping[str, Any]
) -> Iterator[Problem]:
    card_type = card.get("card_type")
    if card_type not in fields.CARD_TYPES:
        names = ", ".join(fields.CARD_TYPES)
        yield Problem("template_card.card_type", "is no card type (vendor code 42031)", f"use one of {names}")
    rows = (*fields.CARDS.get(str(card_type), ()), *more)
    yield from rules.problems("template_card", card, rows, files)


def _envelope_problems(msgtype: str, body: Mapping[str, Any]) -> Iterator[Problem]:
    """`safe` and `enable_id_trans`, for the types whose list of options is published."""
    listed = fields.ENVELOPE.get(msgtype)
    if listed is None:
        return
    for name in fields.ENVELOPE_FIELDS:
        value = body.get(name)
        if value is None:
            continue
        if name not in listed:
            yield Problem(name, f"{msgtype} does not list it (news: vendor code 40074)", "leave it out")
        elif type(value) is not int or value not in listed[name]:
            yield Problem(name, "has no such value", f"use one of {', '.join(map(str, listed[name]))}")


def _option_problems(draft: Draft) -> Iterator[Problem]:
    options = draft.message.get("options") or {}
    if not isinstance(options.get("duplicate_check", True), bool):
        yield Problem("options.duplicate_check", "is not a boolean", "use true or false")


def _callback_problems(draft: Draft) -> Iterator[Problem]:
    card = card_of(draft.message)
    if card is not None and calls_back(card) and draft.account.settings.get("callback") is False:
        remedy = "configure a callback URL for the app and set callback = true"
        yield Problem("template_card", "the app has no callback URL (vendor code 43012)", remedy)


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Files of a send: each fills an empty place of the body and is fit for its upload type."""
    for path, file in (draft.message.get("files") or {}).items():
        yield from upload.file_problems(path, file)
        holder = _holder(draft.message.get("body"), path)
        if holder is None:
            yield Problem(path, "is no place in the body", "use a path such as image.media_id")
        elif holder.get(path.rpartition(".")[2]):
            yield Problem(path, "has a media_id and a file", "give one of the two")


def _holder(tree: Any, path: str) -> Mapping[str, Any] | None:
    """The object in which the last name of `path` stands."""
    for step in path.split(".")[:-1]:
        if isinstance(tree, Mapping):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return None
    return tree if isinstance(tree, Mapping) else None


def _upload_problems(draft: Draft) -> Iterator[Problem]:
    file = (draft.message.get("files") or {}).get("media")
    if file is None:
        yield Problem("media", "there is no file", "use Upload(file=..., upload_type=...)")
    else:
        yield from upload.file_problems("media", file)


def _update_problems(draft: Draft) -> Iterator[Problem]:
    button, card = draft.message.get("button"), draft.message.get("template_card")
    if (button is None) == (card is None):
        yield Problem("template_card", "exactly one of button and template_card", "give replace_name or template_card")
    yield from plain.unfit("", {"button": button, "template_card": card})
    if isinstance(button, Mapping):
        yield from rules.problems("button", button, fields.REPLACE_NAME)
    if isinstance(card, Mapping):
        yield from _card_problems(card, (), {})
    if draft.message.get("enable_id_trans", 0) not in (0, 1):
        yield Problem("enable_id_trans", "has no such value", "use one of 0, 1")


CHECKS: Mapping[str, tuple[Callable[[Draft], Iterable[Problem]], ...]] = {
    "send": (
        _type_problems,
        _body_problems,
        _option_problems,
        _callback_problems,
        _attached_problems,
        targets.send_problems,
    ),
    "recall": (targets.no_targets,),
    "upload": (_upload_problems, targets.no_targets),
    "update_card": (_update_problems, _callback_problems, targets.update_problems),
}
"""What is held against each kind of job."""
