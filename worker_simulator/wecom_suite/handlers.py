"""The service calls of third-party apps: get_suite_token (90600), get_permanent_code (90603), get_corp_token (90605).

Does not know HTTP.
"""

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from worker_simulator.answers import HttpAnswer, Refused
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SuiteSettings
from worker_simulator.wecom_suite.suites import Authorisation

if TYPE_CHECKING:
    from worker_simulator.world import Controlled, World


def get_suite_token(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer get_suite_token."""
    body = _body(request)
    value, left_s = world.suites.suite_token(
        _text(body, "suite_id"), _text(body, "suite_secret"), _text(body, "suite_ticket")
    )
    return _answer(world, suite_access_token=value, expires_in=round(left_s))


def get_permanent_code(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer get_permanent_code: which corp it was, its app, and its code."""
    suite_id = world.suites.suite_of(request.query.get("suite_access_token", ""))
    granted = world.suites.exchange(suite_id, _text(_body(request), "auth_code"))
    agent = {"agentid": granted.agentid, "name": "app", "is_customized_app": granted.customized}
    return _answer(
        world,
        permanent_code=granted.permanent_code,
        auth_corp_info={"corpid": granted.corpid, "corp_name": "corp"},
        auth_info={"agent": [agent]},
    )


def get_corp_token(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer get_corp_token."""
    suite_id, body = world.suites.suite_of(request.query.get("suite_access_token", "")), _body(request)
    token = world.suites.corp_token(suite_id, _text(body, "auth_corpid"), _text(body, "permanent_code"))
    return _answer(world, access_token=token.value, expires_in=round(token.expires_at - world.clock.now()))


def _answer(world: "World", **fields: Any) -> HttpAnswer:
    code = {"errcode": 0, "errmsg": "ok"} if world.settings.suite.errcode_on_success else {}
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


class SuiteAct(BaseModel):
    """What happens to which suite."""

    model_config = ConfigDict(extra="forbid")

    act: Literal["ticket", "authorise", "change", "cancel", "reset", "again", "verify", "expire_tokens"]
    suite_id: str
    corpid: str = ""
    agentid: int | None = None
    customized: bool = False
    """The corp authorises an app that is developed for it alone."""
    group_sends: bool | None = None
    """What the corp grants with `authorise` (left out: true), or from this `change` on: 群发消息给客户和客户群."""
    push: bool = True
    """False: the callback is lost on its way."""
    age_s: float = 0.0
    """How long ago it happened by its TimeStamp, as of a callback that comes late."""
    nth: int = -1
    """Which of the suite's events is delivered `again`."""


class Verifier(SuiteSettings):
    """A suite whose address is being verified: that envelope is sealed for the provider's corp."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of the verification."""
        return self.provider_corpid


def _shown(simulator: "Controlled", request: HttpRequest) -> Any:
    return {"suites": simulator.world.suites.shown()}


def _act(simulator: "Controlled", request: HttpRequest) -> Any:
    """Carry an act out; its event is sent in the background, and `callbacks` shows what became of it."""
    world, given = simulator.world, SuiteAct.model_validate(request.json() if request.body else {})
    suite = world.suites.settings_of(given.suite_id)
    if given.act == "verify":
        return world.callbacks.verify(Verifier.model_validate(suite.model_dump())).shown()
    if given.act == "expire_tokens":
        return {"expired": world.suites.expire_tokens(given.suite_id)}
    events = world.suites.of(given.suite_id).events
    if given.act == "again":
        event = events[given.nth]
    else:
        event = _event(world, given)
        events.append(event)
    if not given.push:
        return {"state": "lost", "event": event.decode()}
    return world.callbacks.send(suite, event, {"act": given.act}).shown()


def _event(world: "World", given: SuiteAct) -> bytes:
    """Carry the act out; returns what the vendor says of it."""
    suites, told = world.suites, {"change": "change_auth", "cancel": "cancel_auth"}
    match given.act:
        case "ticket":
            members = {"InfoType": "suite_ticket", "SuiteTicket": suites.new_ticket(given.suite_id, given.age_s)}
        case "authorise":
            group_sends = given.group_sends is not False
            granted = Authorisation(given.corpid, given.agentid, given.customized, group_sends)
            members = {"InfoType": "create_auth", "AuthCode": suites.authorise(given.suite_id, granted)}
        case "reset":
            granted = suites.known_authorisation(given.suite_id, given.corpid)
            members = {"InfoType": "reset_permanent_code", "AuthCode": suites.authorise(given.suite_id, granted)}
        case _:
            if given.act == "cancel":
                suites.cancel(given.suite_id, given.corpid)
            elif given.group_sends is not None:
                suites.change(given.suite_id, given.corpid, group_sends=given.group_sends)
            members = {"InfoType": told[given.act], "AuthCorpId": given.corpid}
    stamp = int(world.clock.now() - given.age_s)
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in members.items())
    return f"<xml><SuiteId><![CDATA[{given.suite_id}]]></SuiteId><TimeStamp>{stamp}</TimeStamp>{inner}</xml>".encode()


ACTS = {("GET", "suite"): _shown, ("POST", "suite"): _act}
