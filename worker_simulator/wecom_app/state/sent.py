"""Sent messages by msgid, response codes, task ids."""

import secrets
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.inbox import InboxMessage


@dataclass(slots=True)
class ResponseCode:
    """A response_code. It allows one update of one card."""

    message: InboxMessage
    issued_at: float
    spent: bool = False
    expired: bool = False
    """True if a control call expired it."""


class SentMessages:
    """Messages and response codes by their ids."""

    def __init__(self) -> None:
        self.messages: dict[str, InboxMessage] = {}
        self.codes: dict[str, ResponseCode] = {}

    def add(self, message: InboxMessage) -> None:
        """Stores a message by its msgid."""
        self.messages[message.msgid] = message

    def issue_code(self, message: InboxMessage, now: float) -> str:
        """Returns a new response_code for a card."""
        value = f"RC-{secrets.token_urlsafe(36)}"
        self.codes[value] = ResponseCode(message, now)
        return value

    def expire_codes(self, which: str) -> int:
        """Expires one response_code, or all with `all`. Returns how many were expired."""
        chosen = [code for value, code in self.codes.items() if which in ("all", value)]
        for code in chosen:
            code.expired = True
        return len(chosen)

    def expire_msgids(self, which: str) -> int:
        """Ends the time for a recall of one msgid, or of all with `all`. Returns how many there were."""
        chosen = [message for msgid, message in self.messages.items() if which in ("all", msgid)]
        for message in chosen:
            message.too_old = True
        return len(chosen)


def new_msgid() -> str:
    """Returns a new msgid: 64 characters (63, 86 and 128 were observed)."""
    return secrets.token_urlsafe(48)


def refuse_used_task_id(app: App, task_id: str | None, now: float, reserved_s: float | None) -> None:
    """Refuses a task_id that this app has used before."""
    used_at = app.task_ids.get(task_id or "")
    if used_at is not None and (reserved_s is None or now - used_at < reserved_s):
        raise Refused(42014)
