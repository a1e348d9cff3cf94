"""Tokens, the app itself, recalls and uploads: each call is authorised, counted and carried out.

Does not know HTTP.
"""

from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest
from worker_simulator.wecom_app.calls.envelope import authorised, received
from worker_simulator.wire.reader import media_part

if TYPE_CHECKING:
    from worker_simulator.world import World


def gettoken(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer gettoken (91039 获取access_token)."""
    query = request.query
    token = world.apps.login(query.get("corpid", ""), query.get("corpsecret", ""), request.ip)
    world.limits.count_call(token.app.corpid, request.path, request.ip, request.seq)
    return accepted(access_token=token.value, expires_in=round(token.expires_at - world.clock.now()))


def get_agent(world: "World", request: HttpRequest) -> HttpAnswer:
    """agent/get (90227 获取应用): the app of the token, with what it may see."""
    app = authorised(world, request)
    settings, agentid = app.settings, request.query.get("agentid", "")
    if not agentid.isdecimal():
        raise Refused(40056)
    world.apps.check_agent(app, int(agentid))
    visible = {"user": [{"userid": userid} for userid in settings.visible or []]}
    parties = {"partyid": [1] if settings.visible is None else []}
    return accepted(agentid=int(agentid), name="simulated app", allow_userinfos=visible, allow_partys=parties, close=0)


def recall(world: "World", request: HttpRequest) -> HttpAnswer:
    """message/recall (94867 撤回应用消息): for all recipients, within 24 hours, by the app that sent."""
    app, body = received(world, request)
    msgid = body.get("msgid")
    message, rules = world.sent.messages.get(str(msgid)), world.settings.recall
    if message is None:
        raise Refused(rules.unknown_code, "invalid param 'msgid'" if rules.unknown_code == 40058 else "")
    if message.app is not app:
        raise Refused(40058, "invalid param 'msgid'")
    if message.recalled_at is not None and rules.twice_code:
        raise Refused(rules.twice_code)
    if message.too_old or world.clock.now() - message.sent_at > rules.window_s:
        raise Refused(42052)
    message.recalled_at = message.recalled_at or world.clock.now()
    world.rulings.note(message.seq, "recalled", seq=request.seq)
    world.rulings.note(request.seq, "recall", seq=message.seq)
    return accepted()


def upload(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/upload (90253 上传临时素材)."""
    app = authorised(world, request)
    kind = request.query.get("type", "")
    part = media_part(request.headers.get("content-type", ""), request.body)
    stored = world.media.store(app.corpid, kind, part)
    return accepted(type=kind, media_id=stored.media_id, created_at=str(int(stored.created_at)))


def uploadimg(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/uploadimg (90256 上传图片): the field's name is free, the errmsg of a success empty."""
    app = authorised(world, request)
    url = world.media.store_picture(media_part(request.headers.get("content-type", ""), request.body, name=None))
    world.limits.count_picture(app.corpid, request.seq)
    return accepted(errmsg="", url=url)
