"""Small valid messages, to be made wrong in one place."""

from typing import Any


def message(msgtype: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message to one person."""
    return {"touser": "chenmo", "msgtype": msgtype, "agentid": 1, msgtype: content, **more}
