"""media/upload (90253 上传临时素材): what may be uploaded, and how long its media_id lives.

Refuses to know messages. The bytes are not kept, only name, size and hash.
"""

import secrets
from dataclasses import dataclass

from worker.simulator.answers import Refused
from worker.simulator.clock import Clock
from worker.simulator.settings import SimulatorSettings
from worker.simulator.wire.multipart import Upload

SMALLEST = 6  # "every file must be larger than 5 bytes"
TOO_LARGE = {"image": 40009, "video": 40011, "voice": 45001, "file": 45001}
WRONG_FORMAT = {"image": 40123, "voice": 301017, "video": 41090}


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """An uploaded file, known to all apps of its corp."""

    media_id: str
    corpid: str
    kind: str
    filename: str
    size: int
    created_at: float


class MediaStore:
    """Uploaded files by media_id."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._files: dict[str, StoredMedia] = {}

    def store(self, corpid: str, kind: str, upload: Upload | None) -> StoredMedia:
        """Take an upload, or refuse it."""
        if kind not in TOO_LARGE:
            raise Refused(40005)
        if upload is None:
            raise Refused(44001)
        self._check_content(kind, upload)
        stored = StoredMedia(
            f"3{secrets.token_urlsafe(33)}", corpid, kind, upload.filename, len(upload.content), self._clock.now()
        )
        self._files[stored.media_id] = stored
        return stored

    def check(self, corpid: str, kind: str, media_id: str) -> None:
        """Refuse a media_id that is unknown, another corp's, older than three days or of the wrong kind."""
        stored = self._files.get(media_id)
        if stored is None or stored.corpid != corpid or stored.kind != kind:
            raise Refused(40007)
        if self._clock.now() - stored.created_at > self._settings.media.lifetime_s:
            raise Refused(40007)

    def _check_content(self, kind: str, upload: Upload) -> None:
        if len(upload.content) < SMALLEST:
            raise Refused(40006)
        if len(upload.content) > self._settings.media.max_bytes[kind]:
            raise Refused(TOO_LARGE[kind])
        if self._settings.media.check_format and not _looks_like(kind, upload.content):
            raise Refused(WRONG_FORMAT[kind])


def _looks_like(kind: str, content: bytes) -> bool:
    if kind == "image":
        return content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    if kind == "voice":
        return content.startswith(b"#!AMR")
    return kind == "file" or content[4:8] == b"ftyp"
