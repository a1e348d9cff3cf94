"""What is wrong with the making or changing of an app group chat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from worker.channels.checking import plain, rules
from worker.channels.wecom.ids import USERID, USERID_WANTED
from worker.channels.wecom_app import fields
from worker.domain.errors import Problem
from worker.domain.job import Draft


def create_problems(draft: Draft) -> Iterator[Problem]:
    """Name, owner, members and chatid of a new chat."""
    yield from _problems(draft, fields.CREATE_CHAT)


def change_problems(draft: Draft) -> Iterator[Problem]:
    """Name, owner, members and chatid of a change, which has to change something."""
    yield from _problems(draft, fields.CHANGE_CHAT)
    if not (draft.message.get("body") or {}).keys() - {"chatid"}:
        yield Problem("chat", "nothing is to be changed", "give name, owner, add_user_list or del_user_list")


def _problems(draft: Draft, rows: Iterable[fields.Row]) -> Iterator[Problem]:
    body: Mapping[str, Any] = draft.message.get("body") or {}
    yield from plain.unfit("chat", body)
    yield from rules.problems("chat", body, rows)
    for name in (*fields.MEMBER_LISTS, "owner"):
        yield from _unfit_ids(name, body.get(name))


def _unfit_ids(name: str, value: Any) -> Iterator[Problem]:
    """One problem a list, with the place of the first wrong entry and no value."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    wrong = [place for place, entry in enumerate(entries) if not isinstance(entry, str) or not USERID.fullmatch(entry)]
    if wrong:
        text = f"{len(wrong)} entries are no userids (vendor code 86007), the first at place {wrong[0]}"
        yield Problem(f"chat.{name}", text, USERID_WANTED)
    known = {entry.lower() for entry in entries if isinstance(entry, str)}
    if len(known) < len(entries) - len(wrong):
        yield Problem(f"chat.{name}", "names a member twice", "name each member once")
