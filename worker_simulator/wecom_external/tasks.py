"""Group-send tasks: the members who have to confirm, and the result of each recipient."""

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
    """The result of one recipient."""

    status: int = WAITING
    sent_at: float | None = None


@dataclass(slots=True)
class MemberTask:
    """One member's share of a task."""

    userid: str
    results: dict[str, Result]
    status: int = MEMBER_WAITS
    sent_at: float | None = None
    ignored: bool = False


@dataclass(slots=True)
class GroupSendTask:
    """A task. `creator` is empty if an API call created it."""

    msgid: str
    corpid: str
    chat_type: str
    content: Json
    """text and attachments, as the list of tasks returns them."""
    created_at: float
    members: dict[str, MemberTask]
    create_type: int = 0
    creator: str = ""
    cancelled_at: float | None = None
    reminders: list[float] = field(default_factory=list)
    seq: int = 0

    def to_json(self) -> Json:
        """Returns the task for the control API."""
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
                member.userid: {
                    "status": member.status,
                    "ignored": member.ignored,
                    "results": {recipient: result.status for recipient, result in member.results.items()},
                }
                for member in self.members.values()
            },
        }


class TaskStore:
    """All tasks of all corps, oldest first."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.contacts = Contacts(settings)
        self.caps = Caps(settings, clock)
        self._tasks: dict[str, GroupSendTask] = {}

    def create(
        self, corpid: str, chat_type: str, content: Json, by_member: dict[str, list[str]], **fields: object
    ) -> GroupSendTask:
        """Creates a task."""
        members = {
            userid: MemberTask(userid, {recipient: Result() for recipient in ids}) for userid, ids in by_member.items()
        }
        msgid = f"msgGCAAAX{secrets.token_urlsafe(18)}"
        created_at = float(str(fields.pop("created_at", self._clock.now())))
        task = GroupSendTask(msgid, corpid, chat_type, content, created_at, members, **fields)  # type: ignore[arg-type]
        self._tasks[msgid] = task
        return task

    def of(self, corpid: str, msgid: object) -> GroupSendTask:
        """Returns a task of the corp. Refuses a missing or unknown msgid, and a task that is still being dispatched."""
        if not msgid:
            raise Refused(41046)
        task = self._tasks.get(str(msgid))
        if task is None or task.corpid != corpid:
            raise Refused(41047)
        if self._clock.now() - task.created_at < self._settings.external.dispatch_s:
            raise Refused(41063)
        return task

    def all_of(self, corpid: str, chat_type: str) -> list[GroupSendTask]:
        """Returns the tasks of a corp for customers, or for groups, newest first."""
        tasks = [task for task in self._tasks.values() if (task.corpid, task.chat_type) == (corpid, chat_type)]
        return sorted(tasks, key=lambda task: -task.created_at)

    def find(self, msgid: str) -> GroupSendTask:
        """Returns a task of any corp, for control calls. Raises ValueError if there is none."""
        if msgid not in self._tasks:
            raise ValueError("no such task")
        return self._tasks[msgid]

    def remind(self, task: GroupSendTask) -> None:
        """Reminds the members. Refuses a cancelled task, and too many reminders in 24 h."""
        _refuse_cancelled(task)
        now = self._clock.now()
        if sum(at > now - DAY for at in task.reminders) >= self._settings.external.reminders_per_day:
            raise Refused(41094)
        task.reminders.append(now)

    def cancel(self, task: GroupSendTask) -> None:
        """Cancels what members have not sent. Accepted even if everything was sent; a second cancel is refused."""
        _refuse_cancelled(task)
        task.cancelled_at = self._clock.now()

    def confirm(self, task: GroupSendTask, userid: str, recipients: list[str] | None) -> Json:
        """Sends a member's share to these recipients, or to all. Returns the number of recipients by status.

        Raises ValueError if the member has no such task or it was cancelled.
        """
        member = task.members.get(userid)
        if member is None or task.cancelled_at is not None:
            raise ValueError("this member has no such task, or it was cancelled")
        chosen = list(member.results) if recipients is None else recipients
        if task.chat_type == "group" and recipients is None and not chosen:
            chosen = self.contacts.groups_of(userid)
        for recipient in chosen:
            self._send(task, member, recipient)
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

    def all_tasks(self) -> list[GroupSendTask]:
        """Returns every task of every corp, oldest first."""
        return list(self._tasks.values())

    def to_json(self) -> list[Json]:
        """Returns every task for the control API."""
        return [task.to_json() for task in self._tasks.values()]


def _refuse_cancelled(task: GroupSendTask) -> None:
    if task.cancelled_at is not None:
        raise Refused(41093)
