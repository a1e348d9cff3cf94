"""Files (c01_00017): uploads that arrive encrypted, what is known of them, and their way back.

Does not know messages. The bytes are kept, unlike in `wecom_app`, because media/get gives them back.
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
from worker_simulator.youdu.envelope import Call, YouduRefused, answered, opened, opened_form, sealed

if TYPE_CHECKING:
    from worker_simulator.world import World

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

    def shown(self) -> Json:
        """As control shows it."""
        about = {"media_id": self.media_id, "app": self.appid, "type": self.kind, "name": self.name}
        return {**about, "size": len(self.content)}


class YouduFiles:
    """Uploaded files by media_id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, YouduFile] = {}

    def shown(self) -> list[Json]:
        """Every file, oldest first."""
        return [media.shown() for media in self._files.values()]

    def keep(self, app: YouduApp, kind: str, name: str, content: bytes) -> YouduFile:
        """Keep a new file; the number in its id is its size."""
        media_id = f"{secrets.token_hex(16)}-{len(content)}"
        media = YouduFile(media_id, app.appid, kind, name, content, self._clock.now())
        self._files[media_id] = media
        return media

    def find(self, app: YouduApp, media_id: object, settings: YouduSettings) -> YouduFile:
        """A file this app may use; 200010 for any other."""
        media = self._files.get(media_id) if isinstance(media_id, str) else None
        if media is None or not (settings.media_shared or media.appid == app.appid):
            raise YouduRefused(200010)
        if settings.media_lifetime_s and self._clock.now() - media.created_at > settings.media_lifetime_s:
            raise YouduRefused(200010)
        return media

    def known(self, media_id: str) -> YouduFile | None:
        """A file of any app, for pages; None where there is none."""
        return self._files.get(media_id)

    def forget(self, which: str) -> int:
        """Lose one file, or `all`; how many there were."""
        gone = [media_id for media_id in self._files if which in ("all", media_id)]
        for media_id in gone:
            del self._files[media_id]
        return len(gone)


def upload(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/upload: a field has type and name encrypted, the file part has the encrypted content as text."""
    call = opened_form(world, request)
    about = call.json()
    kind, name = about.get("type"), about.get("name")
    call.may(call.app.role == "message")
    if kind not in KINDS:
        raise YouduRefused(200009)
    if not isinstance(name, str) or not name:
        raise YouduRefused(200008)
    content = _content(request, call)
    most = world.settings.youdu.media_max_bytes
    if most and len(content) > most:
        raise YouduRefused(200008)
    media = world.youdu.media.keep(call.app, str(kind), name, content)
    return answered(call, world.settings.youdu, {"mediaId": media.media_id})


def search(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/search: name and size."""
    call = opened(world, request)
    media = world.youdu.media.find(call.app, call.json().get("mediaId"), world.settings.youdu)
    return answered(call, world.settings.youdu, {"name": media.name, "size": len(media.content)})


def get(world: "World", request: HttpRequest) -> HttpAnswer:
    """media/get: no JSON, but the cipher text, and name and size in a header."""
    call = opened(world, request)
    settings = world.settings.youdu
    media = world.youdu.media.find(call.app, call.json().get("mediaId"), settings)
    body = call.envelope.seal(media.content, secrets.token_bytes(RANDOM_BYTES))
    about = sealed(call, settings, {"name": media.name, "size": len(media.content)})
    return HttpAnswer(body.encode(), 0, headers={"Content-Type": "text/plain", "Encrypt": about})


def _content(request: HttpRequest, call: Call) -> bytes:
    """The file part, decrypted; anything else is a malformed form."""
    part = media_part(request.headers.get("content-type", ""), request.body, "file")
    if part is None:
        raise YouduRefused(200008)
    try:
        return call.envelope.open(part.content.decode("ascii"))
    except (EnvelopeError, UnicodeDecodeError):
        raise YouduRefused(200008) from None
