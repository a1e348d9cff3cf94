"""webhook/send and webhook/upload_media, step by step.

Does not know HTTP. The answer of a send never holds a msgid.
"""

import json
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import WebhookKey
from worker_simulator.wecom_app.calls.envelope import parse
from worker_simulator.wecom_app.rules.findings import Findings, warned
from worker_simulator.wecom_webhook import places, rules
from worker_simulator.wecom_webhook.memory import Post
from worker_simulator.wecom_webhook.places import Address, Place
from worker_simulator.wire.reader import media_part

if TYPE_CHECKING:
    from worker_simulator.world import World

UPLOADED = ("file", "voice")


def send(world: "World", request: HttpRequest) -> HttpAnswer:
    """Post a message to the chats it is for, to all of them or none."""
    webhook = world.webhook.key_of(request.query.get("key", ""))
    _refuse_equal(world, request)
    body = parse(request, world.settings.codes)
    found = Findings(world.settings.codes)
    with warned(found):
        msgtype = _msgtype(body)
        content = _checked(world, webhook, body, msgtype, found)
        address = places.address(world.webhook, webhook, body, msgtype, found)
    _count(world, webhook, address, request.seq)
    reached = [place for place in address.places if _takes(world, place, msgtype, found)]
    for place in reached:
        places.admit(world.webhook, webhook, place)
    world.webhook.show(_post(world, webhook, address, place, msgtype, content, found, request) for place in reached)
    return accepted(errmsg=found.errmsg)


def upload_media(world: "World", request: HttpRequest) -> HttpAnswer:
    """Keep a file for three days, for this key alone."""
    webhook = world.webhook.key_of(request.query.get("key", ""))
    kind = request.query.get("type", "")
    if kind not in UPLOADED:
        raise Refused(40005)
    part = media_part(request.headers.get("content-type", ""), request.body)
    stored = world.webhook.media.store(webhook.key, kind, part)
    return accepted(type=kind, media_id=stored.media_id, created_at=str(int(stored.created_at)))


def _refuse_equal(world: "World", request: HttpRequest) -> None:
    """Refuse a call while an older one with the same body is in the air."""
    code = world.webhook.settings.equal_body_code
    if code and world.webhook.air.is_equal(request):
        raise Refused(code)


def _msgtype(body: Json) -> str:
    msgtype = body.get("msgtype")
    if not isinstance(msgtype, str):
        raise Refused(40008)
    return msgtype


def _checked(world: "World", webhook: WebhookKey, body: Json, msgtype: str, found: Findings) -> Json:
    given = body.get(msgtype)
    content: Json = json.loads(json.dumps(given)) if isinstance(given, dict) else {}
    rules.check(world.webhook.settings, webhook.profile, msgtype, content, found)
    for media_id, kind in found.media:
        world.webhook.media.check(webhook.key, kind, media_id)
    for digest, picture in found.pictures:
        world.files.keep(digest, "", picture)
    return content


def _count(world: "World", webhook: WebhookKey, address: Address, seq: int) -> None:
    """Count a call against every limit of the profile; a single chat beyond its own is refused with 93005."""
    settings, limits, name = world.webhook.settings, world.limits, f"webhook:{webhook.key}"
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


def _takes(world: "World", place: Place, msgtype: str, found: Findings) -> bool:
    """Whether a chat takes the type."""
    if place.kind != "blackboard" or msgtype in places.ON_BLACKBOARDS:
        return True
    code = world.webhook.settings.undeliverable_code
    if code:
        raise Refused(code, "invalid param 'chatid'" if code == 40058 else "")
    found.alter("chatid", "not shown on blackboards")
    return False


def _post(
    world: "World",
    webhook: WebhookKey,
    address: Address,
    place: Place,
    msgtype: str,
    content: Json,
    found: Findings,
    request: HttpRequest,
) -> Post:
    return Post(
        key=webhook.key,
        chat=place.chat,
        kind=place.kind,
        msgtype=msgtype,
        content=content,
        altered=found.altered,
        visible_to=list(address.visible_to),
        post_id=address.post_id,
        time=world.clock.now(),
        seq=request.seq,
    )


ROUTES = {"/cgi-bin/webhook/send": send, "/cgi-bin/webhook/upload_media": upload_media}
