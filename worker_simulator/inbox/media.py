"""Uploaded files for the browser: pictures to look at, everything else to be saved, whatever their names say.

Does not know what a file was uploaded for.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from worker.drawing.files import kind_of, plain_name
from worker_simulator.answers import HttpAnswer
from worker_simulator.world import World


def file_answer(world: World, key: str, name: str) -> HttpAnswer | None:
    """A file by the key and the name of its address; None where its bytes are not there."""
    content = _bytes(world, unquote(key))
    if content is None:
        return None
    kind = kind_of(content)
    if kind is None or kind.startswith("audio/"):
        kind = "application/octet-stream"
    headers = {"Content-Type": kind}
    if not kind.startswith("image/"):
        # A player in the page takes a video by its type, whatever is said of saving it.
        saved_as = quote(plain_name(unquote(name)), safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{saved_as}"
    return HttpAnswer(content, headers=headers)


def _bytes(world: World, key: str) -> bytes | None:
    kept = world.files.find(key)
    if kept is not None:
        return kept.content
    youdu = world.youdu.media.known(key)
    return youdu.content if youdu else None
