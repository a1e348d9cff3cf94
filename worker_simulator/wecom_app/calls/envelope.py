"""The envelope of message/send (90236): type, app and recipients.

Does not know message bodies, options and who exists.
"""

import json
from typing import TYPE_CHECKING, Any

from worker_simulator.answers import Refused
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import CodeSettings
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.plain import TO_MEMBERS
from worker_simulator.wecom_app.state.apps import App

if TYPE_CHECKING:
    from worker_simulator.world import World

MSGTYPES = frozenset(TO_MEMBERS) | {"template_card"}
RECIPIENT_MAXIMA = {"touser": (1000, 40032), "toparty": (100, 82002), "totag": (100, 82003)}


def parse(request: HttpRequest, codes: CodeSettings) -> Json:
    """The JSON object of a call's body; anything else is 40058."""
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


def check_msgtype(body: Json, known: frozenset[str] = MSGTYPES, unknown: int = 40008) -> None:
    """Refuse a type the call does not have."""
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in known:
        raise Refused(unknown)


def agentid_of(body: Json, found: Findings, *, required: bool = True) -> int | None:
    """The agentid; digits in a string pass with the wrong-format warning, or are refused by a setting."""
    value = body.get("agentid")
    if isinstance(value, str) and value.isdecimal():
        found.refuse("agentid_string")
        found.wrong_format = True
        return int(value)
    if value is None and not required:
        found.refuse("notice_agentid")
        return None
    if value is None or value == "":
        raise Refused(41011)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(40056)
    return value


def recipients_of(body: Json, found: Findings) -> dict[str, list[str]]:
    """The ids of each kind, within the numbers a call may have."""
    recipients = {name: _ids(body, name, found) for name in RECIPIENT_MAXIMA}
    if not any(recipients.values()):
        raise Refused(found.codes.all_empty)
    for name, (most, code) in RECIPIENT_MAXIMA.items():
        if len(recipients[name]) > most:
            raise Refused(code)
    if body.get("msgtype") == "miniprogram_notice" and "@all" in recipients["touser"]:
        raise Refused(40058, "invalid param 'touser'")
    return recipients


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


def authorised(world: "World", request: HttpRequest) -> App:
    """The app whose token a call has; the call is counted."""
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    world.limits.count_call(app.corpid, request.path, request.ip, request.seq)
    return app


def received(world: "World", request: HttpRequest) -> tuple[App, Json]:
    """The app whose token a call has, and the object in its body; the call is counted."""
    return authorised(world, request), parse(request, world.settings.codes)
