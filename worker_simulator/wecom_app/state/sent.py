"""What was sent: messages by msgid, response codes, task ids.

Does not know how they came about.
"""

import secrets
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.inbox import InboxMessage


@dataclass(slots=True)
class ResponseCode:
    """A code that is valid for one update of one card."""

    message: InboxMessage
    issued_at: float
    spent: bool = False
    expired: bool = False
    """Whether a control call ended its life."""


class SentBook:
    """Messages and response codes by their ids."""

    def __init__(self) -> None:
        self.messages: dict[str, InboxMessage] = {}
        self.codes: dict[str, ResponseCode] = {}

    def keep(self, message: InboxMessage) -> None:
        """Remember a message by its msgid."""
        self.messages[message.msgid] = message

    def issue_code(self, message: InboxMessage, now: float) -> str:
        """A fresh response_code for a card."""
        value = f"RC-{secrets.token_urlsafe(36)}"
        self.codes[value] = ResponseCode(message, now)
        return value

    def expire_codes(self, which: str) -> int:
        """End the life of one response_code, or of `all`; how many there were."""
        chosen = [code for value, code in self.codes.items() if which in ("all", value)]
        for code in chosen:
            code.expired = True
        return len(chosen)

    def expire_msgids(self, which: str) -> int:
        """Let the time for a recall of one msgid, or of `all`, run out; how many there were."""
        chosen = [message for msgid, message in self.messages.items() if which in ("all", msgid)]
        for message in chosen:
            message.too_old = True
        return len(chosen)


def new_msgid() -> str:
    """A msgid: opaque, 64 characters (63, 86 and 128 were observed)."""
    return secrets.token_urlsafe(48)


def refuse_taken(app: App, task_id: str | None, now: float, reserved_s: float | None) -> None:
    """Refuse a task_id this app has used before."""
    taken_at = app.task_ids.get(task_id or "")
    if taken_at is not None and (reserved_s is None or now - taken_at < reserved_s):
        raise Refused(42014)
