"""The options next to the content (90236): which message type has which, and their values."""

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
"""Message type -> allowed values of `safe`."""

SAFE_IN_CHATS = (0, 1)
"""appchat/send has it for every type."""

TRANSLATED = frozenset({"text", "textcard", "news", "mpnews", "miniprogram_notice", "template_card"})
SAFE_FILES = frozenset(
    ["txt", "pdf", "doc", "docx", "ppt", "pptx", "xls", "xlsx", "xml", "jpg", "jpeg", "png", "bmp", "gif"]
)


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The options of a send that take effect."""

    safe: int = 0
    translate: bool = False


def check(body: Json, msgtype: str, findings: Findings) -> SendOptions:
    """Checks the options of message/send."""
    safe = _safe(body, SAFE.get(msgtype, ()), msgtype, findings)
    translate = _flag(body, "enable_id_trans", findings)
    if translate and msgtype not in TRANSLATED:
        findings.refuse("unlisted_option", "invalid param 'enable_id_trans'")
        findings.alter("enable_id_trans", "not defined")
    _flag(body, "enable_duplicate_check", findings)
    interval = typed(body, "duplicate_check_interval", int, findings) or 0
    if not 0 <= interval <= LONGEST_INTERVAL_S:
        findings.refuse("option_value", "invalid param 'duplicate_check_interval'")
    return SendOptions(safe, translate=bool(translate) and msgtype in TRANSLATED)


def check_for_chat(body: Json, msgtype: str, findings: Findings) -> SendOptions:
    """Checks the only option of appchat/send: safe."""
    return SendOptions(_safe(body, SAFE_IN_CHATS, msgtype, findings))


def refuse_unsafe_file(filename: str, findings: Findings) -> None:
    """Refuses `safe` for a file with another extension."""
    if PurePath(filename).suffix.removeprefix(".").lower() not in SAFE_FILES:
        findings.refuse("safe_file", "invalid param 'safe'")


def _safe(body: Json, listed: tuple[int, ...], msgtype: str, findings: Findings) -> int:
    value = int(typed(body, "safe", int, findings) or 0)
    if value and msgtype == "news":
        raise Refused(40074)
    if value and not listed:
        findings.refuse("unlisted_option", "invalid param 'safe'")
        findings.alter("safe", "not defined")
        return 0
    if value not in (0, *listed):
        findings.refuse("option_value", "invalid param 'safe'")
    return value


def _flag(body: Json, name: str, findings: Findings) -> int:
    """Returns 0 or 1. true is a wrong type."""
    value = int(typed(body, name, int, findings) or 0)
    if value not in (0, 1):
        findings.refuse("option_value", f"invalid param '{name}'")
    return value
