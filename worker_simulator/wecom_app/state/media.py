"""media/upload (90253 上传临时素材), media/uploadimg (90256 上传图片): accepted files and their lifetime.

Their bytes are in `RecentFiles`.
"""

import re
import secrets
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.call_log import RecentFiles
from worker_simulator.wire.reader import UploadedFile

FRAMES_A_SECOND = 50
NARROW, WIDE = b"#!AMR\n", b"#!AMR-WB\n"
SPEECH = {
    NARROW: (12, 13, 15, 17, 19, 20, 26, 31, 5, None, None, None, None, None, None, 0),
    WIDE: (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, None, None, None, None, 0, 0),
}
"""Bytes after the head of a frame by its type, or None if there is no such type. 15 is a frame without speech."""


def seconds_of(content: bytes) -> float:
    """Returns the length of an AMR file up to its first invalid frame, or 0 for anything else."""
    magic = next((prefix for prefix in SPEECH if content.startswith(prefix)), None)
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
    """An uploaded file. All apps of its corp can use it."""

    media_id: str
    corpid: str
    kind: str
    filename: str
    size: int
    created_at: float
    expired: bool = False
    """True if a control call expired it."""


class MediaStore:
    """Uploaded files by media_id."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, files: RecentFiles) -> None:
        self._settings = settings
        self._clock = clock
        self._recent_files = files
        self._files: dict[str, StoredMedia] = {}

    def store(self, corpid: str, kind: str, upload: UploadedFile | None) -> StoredMedia:
        """Stores an upload, or refuses it."""
        if kind not in TOO_LARGE:
            raise Refused(40005)
        self._check_content(kind, kind, SMALLEST, upload)
        assert upload is not None
        media = StoredMedia(
            f"3{secrets.token_urlsafe(33)}", corpid, kind, upload.filename, len(upload.content), self._clock.now()
        )
        self._files[media.media_id] = media
        self._recent_files.add(media.media_id, upload.filename, upload.content)
        return media

    def store_picture(self, upload: UploadedFile | None) -> str:
        """Stores a permanent picture, or refuses it. Returns its URL, which works only inside WeCom."""
        self._check_content("image", PICTURE, SMALLEST_PICTURE, upload)
        assert upload is not None
        address = f"http://p.qpic.cn/pic_wework/{secrets.token_hex(16)}/0"
        self._recent_files.add(address, upload.filename, upload.content)
        return address

    def check(self, corpid: str, kind: str, media_id: str) -> str | None:
        """Returns the file's name, or None for a preset id.

        Refuses an id that is unknown, expired, of another corp or of another type.
        """
        media = self._files.get(media_id)
        if media is None and self._is_preset(kind, media_id):
            return None
        if media is None or media.corpid != corpid or media.kind != kind:
            raise Refused(40007)
        rules = self._settings.media
        if media.expired or self._clock.now() - media.created_at > rules.lifetime_s:
            raise Refused(rules.expired_code)
        return media.filename

    def expire(self, which: str) -> int:
        """Expires one media_id, or all with `all`. Returns how many were expired."""
        chosen = [media for media in self._files.values() if which in ("all", media.media_id)]
        for media in chosen:
            media.expired = True
        return len(chosen)

    def _is_preset(self, kind: str, media_id: str) -> bool:
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
        if rules.check_format and not _has_format(kind, upload.content):
            raise Refused(WRONG_FORMAT[kind])
        if kind == "voice" and 0 < rules.voice_seconds < seconds_of(upload.content):
            raise Refused(45007)


def _has_format(kind: str, content: bytes) -> bool:
    if kind == "image":
        return content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    if kind == "voice":
        return content.startswith(b"#!AMR")
    return kind == "file" or content[4:8] == b"ftyp"
