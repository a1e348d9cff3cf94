"""The options beside a message's body (90236): which type lists which, and what values they take.

Does not know bodies and recipients.
"""

from dataclasses import dataclass
from pathlib import PurePath

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Findings, typed
from worker_simulator.wecom_app.state.duplicates import LONGEST_INTERVAL_S

SAFE = {
    "text": (0, 1),
    "image": (0, 1),
    "video": (0, 1),
    "file": (0, 1),
    "mpnews": (0, 1, 2),
}
"""The values of `safe` by the types that list it."""

SAFE_IN_CHATS = (0, 1)
"""appchat/send has it beside the body of every type."""

TRANSLATED = frozenset({"text", "textcard", "news", "mpnews", "miniprogram_notice", "template_card"})
SAFE_FILES = frozenset(
    ["txt", "pdf", "doc", "docx", "ppt", "pptx", "xls", "xlsx", "xml", "jpg", "jpeg", "png", "bmp", "gif"]
)


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The options of a send, as they take effect."""

    safe: int = 0
    translate: bool = False


def check(body: Json, msgtype: str, found: Findings) -> SendOptions:
    """Check the options of message/send."""
    safe = _safe(body, SAFE.get(msgtype, ()), msgtype, found)
    translate = _flag(body, "enable_id_trans", found)
    if translate and msgtype not in TRANSLATED:
        found.refuse("unlisted_option", "invalid param 'enable_id_trans'")
        found.alter("enable_id_trans", "not defined")
    _flag(body, "enable_duplicate_check", found)
    interval = typed(body, "duplicate_check_interval", int, found) or 0
    if not 0 <= interval <= LONGEST_INTERVAL_S:
        found.refuse("option_value", "invalid param 'duplicate_check_interval'")
    return SendOptions(safe, translate=bool(translate) and msgtype in TRANSLATED)


def check_for_chat(body: Json, msgtype: str, found: Findings) -> SendOptions:
    """Check the options of appchat/send: safe alone."""
    return SendOptions(_safe(body, SAFE_IN_CHATS, msgtype, found))


def refuse_unsafe_file(filename: str, found: Findings) -> None:
    """Refuse safe for a file whose extension may not be safe."""
    if PurePath(filename).suffix.removeprefix(".").lower() not in SAFE_FILES:
        found.refuse("safe_file", "invalid param 'safe'")


def _safe(body: Json, listed: tuple[int, ...], msgtype: str, found: Findings) -> int:
    value = int(typed(body, "safe", int, found) or 0)
    if value and msgtype == "news":
        raise Refused(40074)
    if value and not listed:
        found.refuse("unlisted_option", "invalid param 'safe'")
        found.alter("safe", "not defined")
        return 0
    if value not in (0, *listed):
        found.refuse("option_value", "invalid param 'safe'")
    return value


def _flag(body: Json, name: str, found: Findings) -> int:
    """0 or 1; true counts as a wrong type."""
    value = int(typed(body, name, int, found) or 0)
    if value not in (0, 1):
        found.refuse("option_value", f"invalid param '{name}'")
    return value
