"""The fields of message/send (90236) outside the message: msgtype, agentid and recipients; and the access token."""

import json
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.request import HttpRequest, Json, is_number
from worker_simulator.settings import CodeSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.message_types import TO_MEMBERS
from worker_simulator.wecom_app.state.apps import App

MSGTYPES = frozenset(TO_MEMBERS) | {"template_card"}
RECIPIENT_MAXIMA = {"touser": (1000, 40032), "toparty": (100, 82002), "totag": (100, 82003)}


def parse(request: HttpRequest, codes: CodeSettings) -> Json:
    """Returns the JSON object of a body. Anything else is refused with 40058."""
    if codes.escaped_json == "refused" and b"\\u" in request.body:
        raise Refused(40033)
    try:
        body = request.json()
        if b"\\u" in request.body:  # half a character can only come so; UnicodeEncodeError is a ValueError
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(40058, "invalid json. invalid Request Parameter") from error
    if not isinstance(body, dict):
        raise Refused(40058)
    return body


def check_msgtype(body: Json, allowed: frozenset[str] = MSGTYPES, code: int = 40008) -> None:
    """Refuses a message type that the call does not have."""
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in allowed:
        raise Refused(code)


def agentid_of(body: Json, findings: Findings, *, required: bool = True) -> int | None:
    """Returns the agentid. Digits in a string are accepted with a warning, or refused by a setting."""
    value = body.get("agentid")
    if isinstance(value, str) and is_number(value):
        findings.refuse("agentid_string")
        findings.wrong_format = True
        return int(value)
    if value is None and not required:
        findings.refuse("notice_agentid")
        return None
    if value is None or value == "":
        raise Refused(41011)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(40056)
    return value


def recipients_of(body: Json, findings: Findings) -> dict[str, list[str]]:
    """Returns the recipients by kind. Refuses none, or more than a call may have."""
    recipients = {name: _ids(body, name, findings) for name in RECIPIENT_MAXIMA}
    if not any(recipients.values()):
        raise Refused(findings.codes.all_empty)
    for name, (limit, code) in RECIPIENT_MAXIMA.items():
        if len(recipients[name]) > limit:
            raise Refused(code)
    if body.get("msgtype") == "miniprogram_notice" and "@all" in recipients["touser"]:
        raise Refused(40058, "invalid param 'touser'")
    return recipients


def _ids(body: Json, name: str, findings: Findings) -> list[str]:
    """Returns ids separated by bars. Official samples put spaces around them. An array is ignored."""
    value: Any = body.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        findings.wrong_format = True
        value = str(value)
    if value is not None and not isinstance(value, str):
        findings.wrong_format = True
        value = ""
    return [part.strip() for part in (value or "").split("|") if part.strip()]


def authorise(state: VendorState, request: HttpRequest) -> App:
    """Counts the call, and returns the app of its access token."""
    app = state.apps.by_token(request.query.get("access_token"), request.ip)
    state.limits.count_call(app.corpid, request.path, request.ip, request.seq)
    return app


def read_call(state: VendorState, request: HttpRequest) -> tuple[App, Json]:
    """Counts the call, and returns the app of its access token and the JSON object of its body."""
    return authorise(state, request), parse(request, state.settings.codes)
