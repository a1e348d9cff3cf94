"""Files (c01_00017): encrypted uploads, media/search, and media/get.

Their bytes are stored, because media/get returns them.
"""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.crypto.envelope import RANDOM_BYTES, EnvelopeError
from worker_simulator.answers import HttpAnswer
from worker_simulator.clock import Clock
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduApp, YouduSettings
from worker_simulator.wire.reader import media_part
from worker_simulator.youdu.envelope import Call, YouduRefused, encrypt, encrypted_reply, open_call, open_upload

if TYPE_CHECKING:
    from worker_simulator.vendor_state import VendorState

KINDS = ("image", "file", "voice", "video")


@dataclass(slots=True)
class YouduFile:
    """One uploaded file, decrypted."""

    media_id: str
    appid: str
    kind: str
    name: str
    content: bytes
    created_at: float

    def to_json(self) -> Json:
        """Returns the file for the control API."""
        about = {"media_id": self.media_id, "app": self.appid, "type": self.kind, "name": self.name}
        return {**about, "size": len(self.content)}


class YouduFiles:
    """Uploaded files by media_id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, YouduFile] = {}

    def to_json(self) -> list[Json]:
        """Returns every file for the control API, oldest first."""
        return [media.to_json() for media in self._files.values()]

    def add(self, app: YouduApp, kind: str, name: str, content: bytes) -> YouduFile:
        """Stores a file. The number in its id is its size."""
        media_id = f"{secrets.token_hex(16)}-{len(content)}"
        media = YouduFile(media_id, app.appid, kind, name, content, self._clock.now())
        self._files[media_id] = media
        return media

    def find(self, app: YouduApp, media_id: object, settings: YouduSettings) -> YouduFile:
        """Returns a file that this app may use. Refuses any other with 200010."""
        media = self._files.get(media_id) if isinstance(media_id, str) else None
        if media is None or not (settings.media_shared or media.appid == app.appid):
            raise YouduRefused(200010)
        if settings.media_lifetime_s and self._clock.now() - media.created_at > settings.media_lifetime_s:
            raise YouduRefused(200010)
        return media

    def find_any(self, media_id: str) -> YouduFile | None:
        """Returns a file of any app, or None."""
        return self._files.get(media_id)

    def forget(self, which: str) -> int:
        """Deletes one file, or all with `all`. Returns how many there were."""
        chosen = [media_id for media_id in self._files if which in ("all", media_id)]
        for media_id in chosen:
            del self._files[media_id]
        return len(chosen)


def upload(state: "VendorState", request: HttpRequest) -> HttpAnswer:
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


def search(state: "VendorState", request: HttpRequest) -> HttpAnswer:
    """Answers media/search: name and size."""
    call = open_call(state, request)
    media = state.youdu.media.find(call.app, call.json().get("mediaId"), state.settings.youdu)
    return encrypted_reply(call, state.settings.youdu, {"name": media.name, "size": len(media.content)})


def get(state: "VendorState", request: HttpRequest) -> HttpAnswer:
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
