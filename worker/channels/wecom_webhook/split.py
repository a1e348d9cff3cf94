"""A job into parts: one call for each chat, and for each piece of a text that was split.

The vendor takes up to 100 chats in one call but says of none of them what became of it: so each has its own, and a
refusal names its chat.
"""

from __future__ import annotations

from typing import Any

from worker.domain.job import Draft, Kind


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call: every piece to the first chat, in the order of reading, then to the next."""
    if draft.kind != Kind.SEND:
        return [{}]
    chats: list[dict[str, Any]] = [{"chats": [chat]} for chat in draft.recipients.chats]
    places = chats or [draft.recipients.to_json()]
    count = len(draft.message.get("pieces", ()))
    if not count:
        return places
    return [spec for at, place in enumerate(places) for spec in _pieces(place, at * count, count)]


def _pieces(place: dict[str, Any], first: int, count: int) -> list[dict[str, Any]]:
    """Every piece but the first goes after the part before it."""
    return [{**place, "piece": n, **({"after": first + n - 1} if n else {})} for n in range(count)]
