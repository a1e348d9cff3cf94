"""Group sends of a universe: the tasks that the vendor has made of them, and its pages about these."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from bench.explore.database import now_us

CAMPAIGNS, AGENT = "cs", 9
"""The account of group sends; it has no agentid, so it is given one here."""
CUSTOMERS = ("wo1", "wo2", "wo3", "wo4")
OTHER_CUSTOMER = "wo9"
"""No job is for this one."""
SELLER = "lisi"
"""Who sends most of them."""
OFFER = "news"
"""What most group sends say, to the same customers as another or to others."""
CREATE = "/cgi-bin/externalcontact/add_msg_template"
CANCEL = "/cgi-bin/externalcontact/cancel_groupmsg_send"
LIST = "/cgi-bin/externalcontact/get_groupmsg_list_v2"
MEMBERS = "/cgi-bin/externalcontact/get_groupmsg_task"
RESULTS = "/cgi-bin/externalcontact/get_groupmsg_send_result"


def name_of(offer: str, customers: Collection[str]) -> str:
    """Returns what tells a group send from others."""
    return f"{offer} for {','.join(sorted(customers))}"


@dataclass(frozen=True, slots=True)
class Task:
    """What the vendor has made of one call."""

    msgid: str
    created_at: int
    """In Unix seconds."""
    offer: str
    sender: str
    customers: tuple[str, ...]
    confirmed_at: float
    """When its member sends it, in virtual seconds."""


@dataclass
class Tasks:
    """All tasks of the corp, and the pages on which they are read, a few entries each."""

    chance: random.Random
    by_msgid: dict[str, Task] = field(default_factory=dict)
    cancelled: dict[str, float] = field(default_factory=dict)
    """Msgid -> when the task was cancelled, in virtual seconds."""

    def add(self, msgid: str, body: dict[str, Any], customers: tuple[str, ...], now: float) -> None:
        """Makes a task of a call."""
        self._make(msgid, body["text"]["content"], body["sender"], customers, now)

    def make_by_hand(self, offer: str, sender: str, customers: tuple[str, ...], now: float) -> None:
        """Makes a task that nobody called for: by the vendor's own pages."""
        self._make(f"by hand {len(self.by_msgid)}", offer, sender, customers, now)

    def _make(self, msgid: str, offer: str, sender: str, customers: tuple[str, ...], now: float) -> None:
        confirmed_at = now + self.chance.uniform(0.0, 12.0)
        self.by_msgid[msgid] = Task(msgid, now_us() // 1_000_000, offer, sender, customers, confirmed_at)

    def is_sent(self, msgid: str, now: float) -> bool:
        """Whether its member has sent it."""
        return self.by_msgid[msgid].confirmed_at <= min(now, self.cancelled.get(msgid, now))

    def page(self, path: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Returns one page: of the list, of a task's members, or of its customers."""
        if path == LIST:
            listed = [self._listed(task) for task in self.by_msgid.values() if self._is_in(task, body)]
            return self._part("group_msg_list", listed, body)
        task = self.by_msgid[body["msgid"]]
        is_sent = self.is_sent(task.msgid, now)
        if path == MEMBERS:
            return self._part("task_list", [{"userid": task.sender, "status": 2 * is_sent}], body)
        customers = task.customers if body["userid"] == task.sender else ()
        listed = [{"external_userid": one, "userid": task.sender, "status": int(is_sent)} for one in customers]
        return self._part("send_list", listed, body)

    def _is_in(self, task: Task, body: dict[str, Any]) -> bool:
        return bool(body["start_time"] <= task.created_at <= body["end_time"])

    def _listed(self, task: Task) -> dict[str, Any]:
        text = {"content": task.offer}
        return {"msgid": task.msgid, "create_time": str(task.created_at), "create_type": 0, "text": text}

    def _part(self, name: str, entries: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        begin = int(body.get("cursor") or 0)
        end = begin + self.chance.choice([1, 2, 50])
        return {name: entries[begin:end], "next_cursor": str(end) if end < len(entries) else ""}
