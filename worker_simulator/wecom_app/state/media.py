"""media/upload (90253 上传临时素材) and media/uploadimg (90256 上传图片): what may be uploaded, how long it lives.

Does not know messages. The bytes are kept elsewhere, and not for long.
"""

import re
import secrets
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.call_log import KeptFiles
from worker_simulator.wire.reader import UploadedFile

FRAMES_A_SECOND = 50
NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
SPEECH = {
    NARROW: (12, 13, 15, 17, 19, 20, 26, 31, 5, None, None, None, None, None, None, 0),
    WIDE: (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, None, None, None, None, 0, 0),
}
"""Bytes after the head of a frame, by its type; None: no frame has this type. 15 is a frame without speech."""


def seconds_of(content: bytes) -> float:
    """The length of AMR, up to the first frame that is none; 0 for anything else."""
    magic = next((one for one in SPEECH if content.startswith(one)), None)
    if magic is None:
        return 0.0
    frames, place = 0, len(magic)
    while place < len(content) and (size := SPEECH[magic][content[place] >> 3 & 0b1111]) is not None:
        place += 1 + size
        frames += 1
    return frames / FRAMES_A_SECOND


SMALLEST = 6  # "every file must be larger than 5 bytes"
SMALLEST_PICTURE = 5  # "5 B to 2 MB"
TOO_LARGE = {"image": 40009, "video": 40011, "voice": 45001, "file": 45001}
WRONG_FORMAT = {"image": 40123, "voice": 301017, "video": 41090}
PICTURE = "uploadimg"


@dataclass(slots=True)
class StoredMedia:
    """An uploaded file, known to all apps of its corp."""

    media_id: str
    corpid: str
    kind: str
    filename: str
    size: int
    created_at: float
    expired: bool = False
    """Whether a control call ended its life."""


class MediaStore:
    """Uploaded files by media_id."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, kept: KeptFiles) -> None:
        self._settings = settings
        self._clock = clock
        self._kept = kept
        self._files: dict[str, StoredMedia] = {}

    def store(self, corpid: str, kind: str, upload: UploadedFile | None) -> StoredMedia:
        """Take an upload, or refuse it."""
        if kind not in TOO_LARGE:
            raise Refused(40005)
        self._check_content(kind, kind, SMALLEST, upload)
        assert upload is not None
        stored = StoredMedia(
            f"3{secrets.token_urlsafe(33)}", corpid, kind, upload.filename, len(upload.content), self._clock.now()
        )
        self._files[stored.media_id] = stored
        self._kept.keep(stored.media_id, upload.filename, upload.content)
        return stored

    def store_picture(self, upload: UploadedFile | None) -> str:
        """Take a picture that stays for ever, or refuse it; its address shows only inside WeCom."""
        self._check_content("image", PICTURE, SMALLEST_PICTURE, upload)
        assert upload is not None
        address = f"http://p.qpic.cn/pic_wework/{secrets.token_hex(16)}/0"
        self._kept.keep(address, upload.filename, upload.content)
        return address

    def check(self, corpid: str, kind: str, media_id: str) -> str | None:
        """The file's name, if known; refuse an id that is unknown, another corp's, expired or of another kind."""
        stored = self._files.get(media_id)
        if stored is None and self._is_known(kind, media_id):
            return None
        if stored is None or stored.corpid != corpid or stored.kind != kind:
            raise Refused(40007)
        rules = self._settings.media
        if stored.expired or self._clock.now() - stored.created_at > rules.lifetime_s:
            raise Refused(rules.expired_code)
        return stored.filename

    def expire(self, which: str) -> int:
        """End the life of one media_id, or of `all`; how many there were."""
        chosen = [stored for stored in self._files.values() if which in ("all", stored.media_id)]
        for stored in chosen:
            stored.expired = True
        return len(chosen)

    def _is_known(self, kind: str, media_id: str) -> bool:
        patterns = self._settings.media.known.get(kind, ())
        return any(re.fullmatch(pattern, media_id, re.DOTALL) for pattern in patterns)

    def _check_content(self, kind: str, amount: str, smallest: int, upload: UploadedFile | None) -> None:
        rules = self._settings.media
        if upload is None:
            raise Refused(44001)
        if len(upload.content) < smallest:
            raise Refused(40006)
        if len(upload.content) > rules.max_bytes[amount]:
            raise Refused(TOO_LARGE[kind])
        if rules.check_format and not _looks_like(kind, upload.content):
            raise Refused(WRONG_FORMAT[kind])
        if kind == "voice" and 0 < rules.voice_seconds < seconds_of(upload.content):
            raise Refused(45007)


def _looks_like(kind: str, content: bytes) -> bool:
    if kind == "image":
        return content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    if kind == "voice":
        return content.startswith(b"#!AMR")
    return kind == "file" or content[4:8] == b"ftyp"
