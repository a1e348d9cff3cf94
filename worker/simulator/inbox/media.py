"""Uploaded files for the browser: pictures to look at, everything else to be saved, whatever their names say.

Does not know what a file was uploaded for.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from worker.simulator.answers import HttpAnswer
from worker.simulator.world import World

PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF87a": "image/gif"}
PICTURES |= {b"GIF89a": "image/gif", b"BM": "image/bmp"}
"""Types that are shown in the page, by the first bytes of the file."""


def file_answer(world: World, key: str, name: str) -> HttpAnswer | None:
    """A file by the key and the name of its address; None where its bytes are not there."""
    content = _bytes(world, unquote(key))
    if content is None:
        return None
    picture = next((kind for start, kind in PICTURES.items() if content.startswith(start)), None)
    # A player in the page takes its type, whatever is said of saving it.
    other = "video/mp4" if content[4:8] == b"ftyp" else "application/octet-stream"
    headers = {"Content-Type": picture or other}
    if picture is None:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{_safe(unquote(name))}"
    return HttpAnswer(content, headers=headers)


def _bytes(world: World, key: str) -> bytes | None:
    kept = world.files.find(key)
    if kept is not None:
        return kept.content
    youdu = world.youdu.media.known(key)
    return youdu.content if youdu else None


def _safe(name: str) -> str:
    """A file name without folders, control characters and quotes, as RFC 5987 writes it."""
    plain = "".join(one for one in name.replace("\\", "/").rpartition("/")[2] if one.isprintable())
    return quote(plain.strip(". ") or "file", safe="")
