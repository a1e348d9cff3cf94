"""The API calls of third-party apps: get_suite_token (90600), get_permanent_code (90603), get_corp_token (90605).

Also the control calls that issue tickets and authorise or cancel apps.
"""

import json
from typing import Any, Literal

from worker_simulator.answers import HttpAnswer, Refused
from worker_simulator.request import ControlBody, HttpRequest
from worker_simulator.settings import SuiteSettings
from worker_simulator.vendor_state import StateHolder, VendorState
from worker_simulator.wecom_suite.suites import Authorisation


def get_suite_token(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_suite_token."""
    body = _body(request)
    value, remaining_s = state.suites.suite_token(
        _text(body, "suite_id"), _text(body, "suite_secret"), _text(body, "suite_ticket")
    )
    return _answer(state, suite_access_token=value, expires_in=round(remaining_s))


def get_permanent_code(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_permanent_code: the corp, its app and the permanent code."""
    suite_id = state.suites.suite_of(request.query.get("suite_access_token", ""))
    granted = state.suites.exchange(suite_id, _text(_body(request), "auth_code"))
    agent = {"agentid": granted.agentid, "name": "app", "is_customized_app": granted.customized}
    return _answer(
        state,
        permanent_code=granted.permanent_code,
        auth_corp_info={"corpid": granted.corpid, "corp_name": "corp"},
        auth_info={"agent": [agent]},
    )


def get_corp_token(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers get_corp_token."""
    suite_id, body = state.suites.suite_of(request.query.get("suite_access_token", "")), _body(request)
    token = state.suites.corp_token(suite_id, _text(body, "auth_corpid"), _text(body, "permanent_code"))
    return _answer(state, access_token=token.value, expires_in=round(token.expires_at - state.clock.now()))


def _answer(state: VendorState, **fields: Any) -> HttpAnswer:
    code = {"errcode": 0, "errmsg": "ok"} if state.settings.suite.errcode_on_success else {}
    return HttpAnswer(json.dumps({**code, **fields}).encode(), errcode=0)


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        body = request.json()
    except (ValueError, RecursionError):
        body = None
    if request.method != "POST" or not isinstance(body, dict):
        raise Refused(40058)
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


ROUTES = {
    "/cgi-bin/service/get_suite_token": get_suite_token,
    "/cgi-bin/service/get_permanent_code": get_permanent_code,
    "/cgi-bin/service/get_corp_token": get_corp_token,
}


class SuiteAction(ControlBody):
    """What happens to a suite."""

    act: Literal["ticket", "authorise", "change", "cancel", "reset", "again", "verify", "expire_tokens"]
    suite_id: str
    corpid: str = ""
    agentid: int | None = None
    customized: bool = False
    """The corp authorises an app that is developed only for it."""
    group_sends: bool | None = None
    """What the corp grants with `authorise` (default: true), or from this `change` on: 群发消息给客户和客户群."""
    push: bool = True
    """If false, the callback is lost on its way."""
    age_s: float = 0.0
    """How many seconds ago it happened by its TimeStamp, to simulate a late callback."""
    nth: int = -1
    """Which event of the suite is sent `again`."""


class VerifiedSuite(SuiteSettings):
    """A suite whose callback URL is being verified. The envelope is encrypted for the provider's corp."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of the verification."""
        return self.provider_corpid


def _get_state(simulator: StateHolder, request: HttpRequest) -> Any:
    return {"suites": simulator.state.suites.to_json()}


def _run_action(simulator: StateHolder, request: HttpRequest) -> Any:
    """Carries out an action. The event is sent in the background; `callbacks` shows its result."""
    state, action = simulator.state, SuiteAction.read(request)
    suite = state.suites.settings_of(action.suite_id)
    if action.act == "verify":
        return state.callbacks.verify(VerifiedSuite.model_validate(suite.model_dump())).to_json()
    if action.act == "expire_tokens":
        return {"expired": state.suites.expire_tokens(action.suite_id)}
    events = state.suites.of(action.suite_id).events
    if action.act == "again":
        event = _earlier_event(events, action.nth)
    else:
        event = _event(state, action)
        events.append(event)
    if not action.push:
        return {"state": "lost", "event": event.decode()}
    return state.callbacks.send(suite, event, {"act": action.act}).to_json()


def _earlier_event(events: list[bytes], nth: int) -> bytes:
    try:
        return events[nth]
    except IndexError:
        raise ValueError(f"nth: the suite has had {len(events)} events") from None


def _event(state: VendorState, action: SuiteAction) -> bytes:
    """Carries out an action. Returns the vendor's event."""
    suites, info_types = state.suites, {"change": "change_auth", "cancel": "cancel_auth"}
    match action.act:
        case "ticket":
            fields = {"InfoType": "suite_ticket", "SuiteTicket": suites.new_ticket(action.suite_id, action.age_s)}
        case "authorise":
            group_sends = action.group_sends is not False
            granted = Authorisation(action.corpid, action.agentid, action.customized, group_sends)
            fields = {"InfoType": "create_auth", "AuthCode": suites.authorise(action.suite_id, granted)}
        case "reset":
            granted = suites.active_authorisation(action.suite_id, action.corpid)
            fields = {"InfoType": "reset_permanent_code", "AuthCode": suites.authorise(action.suite_id, granted)}
        case _:
            if action.act == "cancel":
                suites.cancel(action.suite_id, action.corpid)
            elif action.group_sends is not None:
                suites.change(action.suite_id, action.corpid, group_sends=action.group_sends)
            fields = {"InfoType": info_types[action.act], "AuthCorpId": action.corpid}
    stamp = int(state.clock.now() - action.age_s)
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<xml><SuiteId><![CDATA[{action.suite_id}]]></SuiteId><TimeStamp>{stamp}</TimeStamp>{inner}</xml>".encode()


CONTROL_ROUTES = {("GET", "suite"): _get_state, ("POST", "suite"): _run_action}
