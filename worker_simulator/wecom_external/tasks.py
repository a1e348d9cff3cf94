"""Group-send tasks: their creator, the members who have to confirm, what became of each recipient.

Does not know HTTP, tokens and how a task is checked.
"""

import secrets
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.request import Json
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_external.contacts import Caps, Contacts

DAY = 86_400.0
WAITING, SENT, NO_CONTACT, CAPPED = 0, 1, 2, 3
MEMBER_WAITS, MEMBER_SENT = 0, 2


@dataclass(slots=True)
class Result:
    """What became of one recipient."""

    status: int = WAITING
    sent_at: float | None = None


@dataclass(slots=True)
class MemberTask:
    """One member's part of a task."""

    userid: str
    results: dict[str, Result]
    status: int = MEMBER_WAITS
    sent_at: float | None = None
    ignored: bool = False


@dataclass(slots=True)
class GroupSendTask:
    """One task; `creator` is empty for those made by an API call."""

    msgid: str
    corpid: str
    chat_type: str
    content: Json
    """text and attachments, as the list shows them."""
    created_at: float
    members: dict[str, MemberTask]
    create_type: int = 0
    creator: str = ""
    cancelled_at: float | None = None
    reminders: list[float] = field(default_factory=list)
    seq: int = 0

    def shown(self) -> Json:
        """What control shows."""
        return {
            "msgid": self.msgid,
            "corpid": self.corpid,
            "chat_type": self.chat_type,
            **self.content,
            "created_at": self.created_at,
            "creator": self.creator,
            "create_type": self.create_type,
            "cancelled": self.cancelled_at is not None,
            "reminders": len(self.reminders),
            "seq": self.seq,
            "members": {
                one.userid: {
                    "status": one.status,
                    "ignored": one.ignored,
                    "results": {recipient: result.status for recipient, result in one.results.items()},
                }
                for one in self.members.values()
            },
        }


class TaskBook:
    """All tasks of all corps, oldest first."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.contacts = Contacts(settings)
        self.caps = Caps(settings, clock)
        self._tasks: dict[str, GroupSendTask] = {}

    def keep(
        self, corpid: str, chat_type: str, content: Json, by_member: dict[str, list[str]], **more: object
    ) -> GroupSendTask:
        """Make a task."""
        members = {one: MemberTask(one, {each: Result() for each in ids}) for one, ids in by_member.items()}
        msgid = f"msgGCAAAX{secrets.token_urlsafe(18)}"
        created_at = float(str(more.pop("created_at", self._clock.now())))
        task = GroupSendTask(msgid, corpid, chat_type, content, created_at, members, **more)  # type: ignore[arg-type]
        self._tasks[msgid] = task
        return task

    def of(self, corpid: str, msgid: object) -> GroupSendTask:
        """A task of the corp, or the refusal: msgid missing, unknown, or task still being handed out."""
        if not msgid:
            raise Refused(41046)
        task = self._tasks.get(str(msgid))
        if task is None or task.corpid != corpid:
            raise Refused(41047)
        if self._clock.now() - task.created_at < self._settings.external.dispatch_s:
            raise Refused(41063)
        return task

    def all_of(self, corpid: str, chat_type: str) -> list[GroupSendTask]:
        """The tasks of a corp for customers, or for groups; the newest first."""
        found = [one for one in self._tasks.values() if (one.corpid, one.chat_type) == (corpid, chat_type)]
        return sorted(found, key=lambda one: -one.created_at)

    def named(self, msgid: str) -> GroupSendTask:
        """A task of any corp, for control; ValueError when there is none."""
        if msgid not in self._tasks:
            raise ValueError("no such task")
        return self._tasks[msgid]

    def remind(self, task: GroupSendTask) -> None:
        """Remind the members, or refuse: cancelled, or too often in 24 h."""
        _refuse_cancelled(task)
        now = self._clock.now()
        if sum(at > now - DAY for at in task.reminders) >= self._settings.external.reminders_per_day:
            raise Refused(41094)
        task.reminders.append(now)

    def cancel(self, task: GroupSendTask) -> None:
        """Stop what members have not sent; taken also when all was sent. A second cancel is refused."""
        _refuse_cancelled(task)
        task.cancelled_at = self._clock.now()

    def confirm(self, task: GroupSendTask, userid: str, recipients: list[str] | None) -> Json:
        """A member sends to these, or to all; returns how many have each status. ValueError without an open task."""
        member = task.members.get(userid)
        if member is None or task.cancelled_at is not None:
            raise ValueError("this member has no such task, or it was cancelled")
        chosen = list(member.results) if recipients is None else recipients
        if task.chat_type == "group" and recipients is None and not chosen:
            chosen = self.contacts.groups_of(userid)
        for one in chosen:
            self._send(task, member, one)
        member.status, member.sent_at = MEMBER_SENT, member.sent_at or self._clock.now()
        statuses = [result.status for result in member.results.values()]
        return {str(status): statuses.count(status) for status in sorted(set(statuses))}

    def _send(self, task: GroupSendTask, member: MemberTask, recipient: str) -> None:
        result = member.results.setdefault(recipient, Result())
        if result.status == SENT:
            return
        if self.contacts.is_former(recipient):
            result.status = NO_CONTACT
        elif self.caps.is_used_up(task.corpid, recipient):
            result.status = CAPPED
        else:
            self.caps.receive(task.corpid, recipient)
            result.status, result.sent_at = SENT, self._clock.now()

    def every(self) -> list[GroupSendTask]:
        """Every task of every corp, oldest first."""
        return list(self._tasks.values())

    def shown(self) -> list[Json]:
        """As control shows it."""
        return [task.shown() for task in self._tasks.values()]


def _refuse_cancelled(task: GroupSendTask) -> None:
    if task.cancelled_at is not None:
        raise Refused(41093)
