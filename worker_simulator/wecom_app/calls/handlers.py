"""Access tokens, agent/get, recalls and uploads."""

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, is_number
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls.envelope import authorise, read_call
from worker_simulator.wire.reader import media_part


def gettoken(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers gettoken (91039 获取access_token)."""
    query = request.query
    token = state.apps.login(query.get("corpid", ""), query.get("corpsecret", ""), request.ip)
    state.limits.count_call(token.app.corpid, request.path, request.ip, request.seq)
    return accepted(access_token=token.value, expires_in=round(token.expires_at - state.clock.now()))


def get_agent(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers agent/get (90227 获取应用): the app of the token, and its visible range."""
    app = authorise(state, request)
    settings, agentid = app.settings, request.query.get("agentid", "")
    if not is_number(agentid):
        raise Refused(40056)
    state.apps.check_agent(app, int(agentid))
    visible = {"user": [{"userid": userid} for userid in settings.visible or []]}
    parties = {"partyid": [1] if settings.visible is None else []}
    return accepted(agentid=int(agentid), name="simulated app", allow_userinfos=visible, allow_partys=parties, close=0)


def recall(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers message/recall (94867 撤回应用消息): for all recipients, within 24 hours, by the app that sent it."""
    app, body = read_call(state, request)
    msgid = body.get("msgid")
    message, rules = state.sent.messages.get(str(msgid)), state.settings.recall
    if message is None:
        raise Refused(rules.unknown_code, "invalid param 'msgid'" if rules.unknown_code == 40058 else "")
    if message.app is not app:
        raise Refused(40058, "invalid param 'msgid'")
    if message.recalled_at is not None and rules.twice_code:
        raise Refused(rules.twice_code)
    if message.too_old or state.clock.now() - message.sent_at > rules.window_s:
        raise Refused(42052)
    message.recalled_at = message.recalled_at or state.clock.now()
    state.rulings.record(message.seq, "recalled", seq=request.seq)
    state.rulings.record(request.seq, "recall", seq=message.seq)
    return accepted()


def upload(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers media/upload (90253 上传临时素材)."""
    app = authorise(state, request)
    kind = request.query.get("type", "")
    part = media_part(request.headers.get("content-type", ""), request.body)
    media = state.media.store(app.corpid, kind, part)
    return accepted(type=kind, media_id=media.media_id, created_at=str(int(media.created_at)))


def uploadimg(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers media/uploadimg (90256 上传图片). Any form field is accepted; the errmsg of a success is empty."""
    app = authorise(state, request)
    url = state.media.store_picture(media_part(request.headers.get("content-type", ""), request.body, name=None))
    state.limits.count_picture(app.corpid, request.seq)
    return accepted(errmsg="", url=url)
