"""A campaign's content with the ids of its files: what a create call sends, and what its task looks like afterwards."""

from __future__ import annotations

from typing import Any

from worker.channels.checking.paths import put
from worker.domain.job import Part


def content_of(part: Part) -> dict[str, Any]:
    """What customers will see, with the media_ids and URLs of its files."""
    out: dict[str, Any] = dict(part.message["body"])
    for path, media_id in (part.facts.get("media") or {}).items():
        out = put(out, path.split("."), media_id)
    return out
