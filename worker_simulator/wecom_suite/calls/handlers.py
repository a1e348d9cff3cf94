"""The service calls of third-party apps: get_suite_token (90600), get_permanent_code (90603), get_corp_token (90605).

Does not know HTTP.
"""

import json
from typing import TYPE_CHECKING, Any

from worker_simulator.answers import HttpAnswer, Refused
from worker_simulator.request import HttpRequest

if TYPE_CHECKING:
    from worker_simulator.world import World


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
