"""The calls of the app API besides message/send: each is authorised, counted and carried out.

Does not know HTTP, and what updates and chats are.
"""

from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest
from worker_simulator.wecom_app.calls import cards, chat_messages, chats
from worker_simulator.wecom_app.calls.envelope import parse
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wire.multipart import media_part

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
    app = _authorised(world, request)
    settings, agentid = app.settings, request.query.get("agentid", "")
    if not agentid.isdecimal():
        raise Refused(40056)
    world.apps.check_agent(app, int(agentid))
    visible = {"user": [{"userid": userid} for userid in settings.visible or []]}
    parties = {"partyid": [1] if settings.visible is None else []}
    return accepted(agentid=int(agentid), name="simulated app", allow_userinfos=visible, allow_partys=parties, close=0)


def recall(world: "World", request: HttpRequest) -> HttpAnswer:
    """message/recall (94867 撤回应用消息): for all recipients, within 24 hours, by the app that sent."""
    app = _authorised(world, request)
    msgid = parse(request, world.settings.codes).get("msgid")
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


def update_template_card(world: "World", request: HttpRequest) -> HttpAnswer:
    """message/update_template_card (94888)."""
    app = _authorised(world, request)
    return cards.update(world, app, parse(request, world.settings.codes), request.seq)


def upload(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/upload (90253 上传临时素材)."""
    app = _authorised(world, request)
    kind = request.query.get("type", "")
    part = media_part(request.headers.get("content-type", ""), request.body)
    stored = world.media.store(app.corpid, kind, part)
    return accepted(type=kind, media_id=stored.media_id, created_at=str(int(stored.created_at)))


def uploadimg(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/uploadimg (90256 上传图片): the field's name is free, the errmsg of a success empty."""
    app = _authorised(world, request)
    url = world.media.store_picture(media_part(request.headers.get("content-type", ""), request.body, name=None))
    world.limits.count_picture(app.corpid, request.seq)
    return accepted(errmsg="", url=url)


def create_chat(world: "World", request: HttpRequest) -> HttpAnswer:
    """appchat/create (90245)."""
    app = _authorised(world, request)
    return chats.create(world, app, parse(request, world.settings.codes), request.seq)


def update_chat(world: "World", request: HttpRequest) -> HttpAnswer:
    """appchat/update (98913)."""
    app = _authorised(world, request)
    return chats.update(world, app, parse(request, world.settings.codes), request.seq)


def get_chat(world: "World", request: HttpRequest) -> HttpAnswer:
    """appchat/get (98914)."""
    return chats.get(world, _authorised(world, request), request.query.get("chatid", ""))


def send_to_chat(world: "World", request: HttpRequest) -> HttpAnswer:
    """appchat/send (90248)."""
    app = _authorised(world, request)
    return chat_messages.send(world, app, request, parse(request, world.settings.codes))


def _authorised(world: "World", request: HttpRequest) -> App:
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    world.limits.count_call(app.corpid, request.path, request.ip, request.seq)
    return app
