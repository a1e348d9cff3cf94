"""Callback requests as the vendor makes them, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.crypto.envelope import Envelope

TOKEN = "QDG6eK"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
CORP = "ww1"
NOW = 1_700_000_000.0
RANDOM = b"0123456789abcdef"


@dataclass(frozen=True)
class Sent:
    """One request: its query and its body."""

    query: dict[str, str]
    body: bytes


def sent(message: str, *, at: float = NOW, corp: str = CORP, nonce: str = "n1", random: bytes = RANDOM) -> Sent:
    """The message in its envelope."""
    timestamp = str(int(at))
    encrypted, signature = Envelope(TOKEN, AES_KEY, corp).seal(message.encode(), timestamp, nonce, random)
    query = {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}
    body = f"<xml><ToUserName><![CDATA[{corp}]]></ToUserName><Encrypt> <![CDATA[{encrypted}]]></Encrypt></xml>"
    return Sent(query, body.encode())


def press(
    task_id: str = "task-1",
    *,
    person: str = "lisi",
    key: str = "approve",
    code: str | None = "code-1",
    created: int = int(NOW),
    selected: str = "",
    event: str = "template_card_event",
    agentid: Any = 7,
) -> str:
    """The message of a pressed button (page 90240)."""
    given = f"<ResponseCode><![CDATA[{code}]]></ResponseCode>" if code else ""
    return (
        f"<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><FromUserName><![CDATA[{person}]]></FromUserName>"
        f"<CreateTime>{created}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
        f"<Event><![CDATA[{event}]]></Event><EventKey><![CDATA[{key}]]></EventKey>"
        f"<TaskId><![CDATA[{task_id}]]></TaskId><CardType><![CDATA[button_interaction]]></CardType>"
        f"{given}<AgentID>{agentid}</AgentID>{selected}</xml>"
    )
