"""Control of group sends: look at tasks, let members confirm or ignore, let others make tasks and use up caps.

Does not know sockets and how control answers.
"""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from worker_simulator.request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker_simulator.world import Controlled


class Confirmed(BaseModel):
    """A member who sends to all recipients, or to these alone."""

    model_config = ConfigDict(extra="forbid")

    msgid: str
    member: str
    recipients: list[str] | None = None


class Ignored(BaseModel):
    """A member who will not send."""

    model_config = ConfigDict(extra="forbid")

    msgid: str
    member: str


class ForeignTask(BaseModel):
    """A task that is not the worker's; with a creator it was made in the console."""

    model_config = ConfigDict(extra="forbid")

    corpid: str
    chat_type: str = "single"
    text: str | None = None
    attachments: list[dict[str, Any]] = Field(default_factory=list)
    members: dict[str, list[str]]
    creator: str = ""
    create_type: int = 0
    age_s: float = 0.0
    """How many seconds ago it was made."""


class Spent(BaseModel):
    """Group messages that one customer or group got from elsewhere."""

    model_config = ConfigDict(extra="forbid")

    corpid: str
    recipient: str
    count: int = 1


def _tasks(simulator: "Controlled", request: HttpRequest) -> Any:
    return {"tasks": simulator.world.external.shown()}


def _confirm(simulator: "Controlled", request: HttpRequest) -> Any:
    given, book = Confirmed.model_validate(request.json()), simulator.world.external
    return {"statuses": book.confirm(book.named(given.msgid), given.member, given.recipients)}


def _ignore(simulator: "Controlled", request: HttpRequest) -> Any:
    given = Ignored.model_validate(request.json())
    task = simulator.world.external.named(given.msgid)
    if given.member not in task.members:
        raise ValueError("this member has no such task")
    task.members[given.member].ignored = True
    return task.shown()


def _foreign(simulator: "Controlled", request: HttpRequest) -> Any:
    given, world = ForeignTask.model_validate(request.json()), simulator.world
    content: dict[str, Any] = {"attachments": given.attachments}
    if given.text is not None:
        content["text"] = {"content": given.text}
    task = world.external.keep(
        given.corpid,
        given.chat_type,
        content,
        given.members,
        creator=given.creator,
        create_type=given.create_type,
        created_at=world.clock.now() - given.age_s,
    )
    return task.shown()


def _spend(simulator: "Controlled", request: HttpRequest) -> Any:
    given = Spent.model_validate(request.json())
    simulator.world.external.caps.receive(given.corpid, given.recipient, given.count)
    return {}


ACTS: "dict[tuple[str, str], Callable[[Controlled, HttpRequest], Any]]" = {
    ("GET", "groupmsg_tasks"): _tasks,
    ("POST", "groupmsg_confirm"): _confirm,
    ("POST", "groupmsg_ignore"): _ignore,
    ("POST", "groupmsg_foreign"): _foreign,
    ("POST", "groupmsg_spend"): _spend,
}
