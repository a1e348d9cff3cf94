"""What the calls of every channel share: the files in a body, its bytes and hash, the file of an upload."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from worker.channels.checking.job import SPLIT_FIELD, put
from worker.domain.job import JobKind, Part
from worker.domain.outcome import Rejected

BYTES_PER_SECOND = 256 * 1024
"""The slowest upload speed that is waited for."""

# WeCom's 40033 (page 90313) forbids \uXXXX escapes. Keys are sorted because it is not published whether "the same JSON"
# of the duplicate check depends on their order. So equal content always has equal bytes, and one hash.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """Returns UTF-8 JSON without escapes and blanks, keys sorted: the same on any machine and after any upgrade."""
    return _encode(body).encode()


def digest(scope: str, content: bytes) -> str:
    """Returns the SHA-256 (hex) of a call's content, and of the account or app that sends it."""
    return hashlib.sha256(scope.encode() + b"\0" + content).hexdigest()


def filled(tree: dict[str, Any], part: Part) -> dict[str, Any]:
    """Returns a copy of a body with the media_id of every file in its place. It is shallow outside these paths."""
    for path, media_id in (part.facts.get("media") or {}).items():
        tree = put(tree, path.split("."), media_id)
    return tree


LAST = ("attachments", "mentioned_list", "mentioned_mobile_list")
"""Fields of a split text that only its last piece has: else members would be mentioned by each piece."""


def with_piece(body: dict[str, Any], part: Part) -> dict[str, Any]:
    """Returns a copy of a body with this part's piece of a split text, or the body itself."""
    if "piece" not in part.spec:
        return body
    msgtype, pieces, number = part.message["type"], part.message["pieces"], part.spec["piece"]
    left_out = LAST if number < len(pieces) - 1 else ()
    content = {name: value for name, value in body[msgtype].items() if name not in left_out}
    return {**body, msgtype: {**content, SPLIT_FIELD: pieces[number]}}


def file_of(part: Part) -> Mapping[str, Any]:
    """Returns the file to upload. Size and hash of a file behind a URL are known since it was fetched."""
    file: Mapping[str, Any] = part.message["files"]["media"]
    fetched: Mapping[str, Any] | None = part.spec.get("fetched")
    return file if fetched is None else {**file, **fetched}


def media_gone(part: Part, reason: str) -> Rejected:
    """Rejects a part whose media_id the vendor has forgotten. A file stored here can be uploaded again.

    Not while the part is in doubt: a new media_id changes the body, so the repeat would not be safe.
    """
    is_kept = part.kind != JobKind.UPLOAD and bool(part.message.get("files")) and not part.in_doubt
    return Rejected(reason, retry_with="media" if is_kept else None)


def upload_lane(message: Mapping[str, Any]) -> str:
    """Returns the lane `upload/<upload type>`, with `/url` appended if the file has to be fetched first.

    Fetching waits for other servers, and files stored here should not wait for it.
    """
    file = message["files"]["media"]
    return f"upload/{file['upload_type']}{'/url' if 'url' in file else ''}"
