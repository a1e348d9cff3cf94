"""Control calls for group sends: list tasks, confirm or ignore them, add tasks of others, use up monthly caps."""

from collections.abc import Callable
from typing import Any

from pydantic import Field

from worker_simulator.request import ControlBody, HttpRequest
from worker_simulator.vendor_state import StateHolder


class ConfirmedTask(ControlBody):
    """A member sends a task to all its recipients, or only to these."""

    msgid: str
    member: str
    recipients: list[str] | None = None


class IgnoredTask(ControlBody):
    """A member will not send a task."""

    msgid: str
    member: str


class ForeignTask(ControlBody):
    """A task that is not the worker's. With a creator it was made in the console."""

    corpid: str
    chat_type: str = "single"
    text: str | None = None
    attachments: list[dict[str, Any]] = Field(default_factory=list)
    members: dict[str, list[str]]
    creator: str = ""
    create_type: int = 0
    age_s: float = 0.0
    """How many seconds ago it was created."""


class ReceivedMessages(ControlBody):
    """Group messages that one customer or group got from elsewhere."""

    corpid: str
    recipient: str
    count: int = 1


def _tasks(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"tasks": simulator.state.external.to_json()}


def _confirm(simulator: StateHolder, request: HttpRequest) -> Any:
    body, tasks = ConfirmedTask.read(request), simulator.state.external
    return {"statuses": tasks.confirm(tasks.find(body.msgid), body.member, body.recipients)}


def _ignore(simulator: StateHolder, request: HttpRequest) -> Any:
    body = IgnoredTask.read(request)
    task = simulator.state.external.find(body.msgid)
    if body.member not in task.members:
        raise ValueError("this member has no such task")
    task.members[body.member].ignored = True
    return task.to_json()


def _foreign(simulator: StateHolder, request: HttpRequest) -> Any:
    body, state = ForeignTask.read(request), simulator.state
    content: dict[str, Any] = {"attachments": body.attachments}
    if body.text is not None:
        content["text"] = {"content": body.text}
    task = state.external.create(
        body.corpid,
        body.chat_type,
        content,
        body.members,
        creator=body.creator,
        create_type=body.create_type,
        created_at=state.clock.now() - body.age_s,
    )
    return task.to_json()


def _spend(simulator: StateHolder, request: HttpRequest) -> Any:
    body = ReceivedMessages.read(request)
    simulator.state.external.caps.receive(body.corpid, body.recipient, body.count)
    return {}


CONTROL_ROUTES: "dict[tuple[str, str], Callable[[StateHolder, HttpRequest], Any]]" = {
    ("GET", "groupmsg_tasks"): _tasks,
    ("POST", "groupmsg_confirm"): _confirm,
    ("POST", "groupmsg_ignore"): _ignore,
    ("POST", "groupmsg_foreign"): _foreign,
    ("POST", "groupmsg_spend"): _spend,
}
