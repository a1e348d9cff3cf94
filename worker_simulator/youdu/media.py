"""The calls about files (c01_00017): encrypted uploads, media/search, and media/get."""

import secrets

from worker.crypto.envelope import RANDOM_BYTES, EnvelopeError
from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.reader import media_part
from worker_simulator.youdu.answer import YouduRefused
from worker_simulator.youdu.envelope import Call, encrypt, encrypted_reply, open_call, open_upload

KINDS = ("image", "file", "voice", "video")


def upload(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers media/upload: one field has type and name encrypted, the file is the encrypted content as text."""
    call = open_upload(state, request)
    about = call.json()
    kind, name = about.get("type"), about.get("name")
    call.require(call.app.role == "message")
    if kind not in KINDS:
        raise YouduRefused(200009)
    if not isinstance(name, str) or not name:
        raise YouduRefused(200008)
    content = _content(request, call)
    limit = state.settings.youdu.media_max_bytes
    if limit and len(content) > limit:
        raise YouduRefused(200008)
    media = state.youdu.media.add(call.app, str(kind), name, content)
    return encrypted_reply(call, state.settings.youdu, {"mediaId": media.media_id})


def search(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers media/search: name and size."""
    call = open_call(state, request)
    media = state.youdu.media.find(call.app, call.json().get("mediaId"), state.settings.youdu)
    return encrypted_reply(call, state.settings.youdu, {"name": media.name, "size": len(media.content)})


def get(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers media/get: not JSON, but the encrypted content; name and size are in a header."""
    call = open_call(state, request)
    settings = state.settings.youdu
    media = state.youdu.media.find(call.app, call.json().get("mediaId"), settings)
    body = call.envelope.seal(media.content, secrets.token_bytes(RANDOM_BYTES))
    about = encrypt(call, settings, {"name": media.name, "size": len(media.content)})
    return HttpAnswer(body.encode(), 0, headers={"Content-Type": "text/plain", "Encrypt": about})


def _content(request: HttpRequest, call: Call) -> bytes:
    """Returns the decrypted file. Anything else is a malformed form."""
    part = media_part(request.headers.get("content-type", ""), request.body, "file")
    if part is None:
        raise YouduRefused(200008)
    try:
        return call.envelope.open(part.content.decode("ascii"))
    except (EnvelopeError, UnicodeDecodeError):
        raise YouduRefused(200008) from None
