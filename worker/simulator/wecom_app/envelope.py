"""The envelope of message/send (90236): recipients and the fields all message types share.

Refuses to know message bodies and who exists.
"""

from dataclasses import dataclass, field
from typing import Any

from worker.simulator.answers import Refused
from worker.simulator.request import Json, Request
from worker.simulator.settings import CodeSettings
from worker.simulator.wecom_app.body_rules import BODY_RULES
from worker.simulator.wecom_app.duplicates import LONGEST_INTERVAL_S
from worker.simulator.wecom_app.validation import Findings, typed

MSGTYPES = frozenset(BODY_RULES) | {"template_card"}
RECIPIENT_MAXIMA = {"touser": (1000, 40032), "toparty": (100, 82002), "totag": (100, 82003)}
FLAGS = ("safe", "enable_id_trans", "enable_duplicate_check")


@dataclass(slots=True)
class Envelope:
    """The checked envelope of a send."""

    msgtype: str
    agentid: int | None
    recipients: dict[str, list[str]] = field(default_factory=dict)


def parse(request: Request, codes: CodeSettings) -> Json:
    """The JSON object of a call's body; anything else is 40058."""
    if codes.escaped_json == "refused" and b"\\u" in request.body:
        raise Refused(40033)
    try:
        body = request.json()
    except ValueError as error:
        raise Refused(40058, "invalid json. invalid Request Parameter") from error
    if not isinstance(body, dict):
        raise Refused(40058)
    return body


def check(body: Json, found: Findings) -> Envelope:
    """Check msgtype, agentid, flags and the numbers of recipients."""
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in MSGTYPES:
        raise Refused(40008)
    envelope = Envelope(msgtype, agentid_of(body, found, required=msgtype != "miniprogram_notice"))
    _check_flags(body, msgtype, found)
    envelope.recipients = {name: _ids(body, name, found) for name in RECIPIENT_MAXIMA}
    _check_recipients(envelope, found)
    return envelope


def agentid_of(body: Json, found: Findings, *, required: bool = True) -> int | None:
    """The agentid; digits in a string pass with the wrong-format warning."""
    value = body.get("agentid")
    if isinstance(value, str) and value.isdecimal():
        found.wrong_format = True
        return int(value)
    if value is None and not required:
        return None
    if value is None or value == "":
        raise Refused(41011)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(40056)
    return value


def _check_flags(body: Json, msgtype: str, found: Findings) -> None:
    safe = typed(body, "safe", int, found) or 0
    if msgtype == "news" and safe:
        raise Refused(40074)
    if safe not in (0, 1) and not (safe == 2 and msgtype == "mpnews"):
        raise Refused(40058, "invalid param 'safe'")
    for name in FLAGS:
        typed(body, name, int, found)
    interval = typed(body, "duplicate_check_interval", int, found) or 0
    if not 0 <= interval <= LONGEST_INTERVAL_S:
        raise Refused(40058, "invalid param 'duplicate_check_interval'")


def _ids(body: Json, name: str, found: Findings) -> list[str]:
    """Ids between bars; official samples put spaces around them. A list instead of a string is not read."""
    value: Any = body.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        found.wrong_format = True
        value = str(value)
    if value is not None and not isinstance(value, str):
        found.wrong_format = True
        value = ""
    return [part.strip() for part in (value or "").split("|") if part.strip()]


def _check_recipients(envelope: Envelope, found: Findings) -> None:
    if not any(envelope.recipients.values()):
        raise Refused(found.codes.all_empty)
    for name, (most, code) in RECIPIENT_MAXIMA.items():
        if len(envelope.recipients[name]) > most:
            raise Refused(code)
    if envelope.msgtype == "miniprogram_notice" and "@all" in envelope.recipients["touser"]:
        raise Refused(40058, "invalid param 'touser'")
