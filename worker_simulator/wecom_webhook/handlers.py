"""webhook/send and webhook/upload_media, step by step. The answer of a send never contains a msgid."""

import json

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import WebhookKey
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls.envelope import parse
from worker_simulator.wecom_app.rules.findings import Findings, format_warnings
from worker_simulator.wecom_webhook import places, rules
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import Address, Place
from worker_simulator.wire.reader import media_part

UPLOADED = ("file", "voice")


def send(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers webhook/send: posts a message to all of its chats, or to none."""
    webhook = state.webhook.key_of(request.query.get("key", ""))
    _refuse_equal(state, request)
    body = parse(request, state.settings.codes)
    findings = Findings(state.settings.codes)
    with format_warnings(findings):
        msgtype = _msgtype(body)
        content = _check_content(state, webhook, body, msgtype, findings)
        address = places.address(state.webhook, webhook, body, msgtype, findings)
    _count(state, webhook, address, request.seq)
    reached = [place for place in address.places if _accepts(state, place, msgtype, findings)]
    for place in reached:
        places.admit(state.webhook, webhook, place)
    state.webhook.show(_post(state, webhook, address, place, msgtype, content, findings, request) for place in reached)
    return accepted(errmsg=findings.errmsg)


def upload_media(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers webhook/upload_media: stores a file for three days, for this key only."""
    webhook = state.webhook.key_of(request.query.get("key", ""))
    kind = request.query.get("type", "")
    if kind not in UPLOADED:
        raise Refused(40005)
    part = media_part(request.headers.get("content-type", ""), request.body)
    media = state.webhook.media.store(webhook.key, kind, part)
    return accepted(type=kind, media_id=media.media_id, created_at=str(int(media.created_at)))


def _refuse_equal(state: VendorState, request: HttpRequest) -> None:
    """Refuses a call while an older one with the same body is in flight."""
    code = state.webhook.settings.equal_body_code
    if code and state.webhook.in_flight.is_equal(request):
        raise Refused(code)


def _msgtype(body: Json) -> str:
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str):
        raise Refused(40008)
    return msgtype


def _check_content(state: VendorState, webhook: WebhookKey, body: Json, msgtype: str, findings: Findings) -> Json:
    value = body.get(msgtype)
    content: Json = json.loads(json.dumps(value)) if isinstance(value, dict) else {}
    rules.check(state.webhook.settings, webhook.profile, msgtype, content, findings)
    for media_id, kind in findings.media:
        state.webhook.media.check(webhook.key, kind, media_id)
    for digest, picture in findings.pictures:
        state.files.add(digest, "", picture)
    return content


def _count(state: VendorState, webhook: WebhookKey, address: Address, seq: int) -> None:
    """Counts a call for every limit of the profile. A single chat above its own limit is refused with 93005."""
    settings, limits, name = state.webhook.settings, state.limits, f"webhook:{webhook.key}"
    if webhook.profile == "public":
        limits.count_minute(name, settings.robot_per_minute, seq)
        return
    limits.count_minute(f"{name}:key", settings.key_per_minute, seq)
    if address.broadcast:
        limits.count_minute(f"{name}:broadcasts", settings.broadcast_per_minute, seq)
        return
    for place in address.places:
        try:
            limits.count_minute(f"{name}:chat:{place.chat.lower()}", settings.chat_per_minute, seq)
        except Refused:
            raise Refused(93005 if place.kind == "single" else 45009) from None


def _accepts(state: VendorState, place: Place, msgtype: str, findings: Findings) -> bool:
    """True if the chat accepts the message type."""
    if place.kind != "blackboard" or msgtype in places.ON_BLACKBOARDS:
        return True
    code = state.webhook.settings.undeliverable_code
    if code:
        raise Refused(code, "invalid param 'chatid'" if code == 40058 else "")
    findings.alter("chatid", "not shown on blackboards")
    return False


def _post(
    state: VendorState,
    webhook: WebhookKey,
    address: Address,
    place: Place,
    msgtype: str,
    content: Json,
    findings: Findings,
    request: HttpRequest,
) -> Post:
    return Post(
        key=webhook.key,
        chat=place.chat,
        kind=place.kind,
        msgtype=msgtype,
        content=content,
        altered=findings.altered,
        visible_to=list(address.visible_to),
        post_id=address.post_id,
        time=state.clock.now(),
        seq=request.seq,
    )


ROUTES = {"/cgi-bin/webhook/send": send, "/cgi-bin/webhook/upload_media": upload_media}
