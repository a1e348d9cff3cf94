"""A job into parts: one call for each chat, and for each piece of a text that was split.

The vendor takes up to 100 chats in one call but does not say what became of each: so each chat has a call of its own,
and a refusal names its chat. Where the vendor was seen to post to none when it refuses one, an account may set
`chats_per_call`: a call that was refused is halved until the chat is found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.channels.wecom_webhook.account import chats_per_call
from worker.channels.wecom_webhook.messages.content import content_of
from worker.domain.job import Draft, Kind


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call: every piece to the first chat, in the order of reading, then to the next."""
    if draft.kind != Kind.SEND:
        return [{}]
    chats = draft.recipients.chats
    together = _together(draft)
    named: list[dict[str, Any]] = [{"chats": list(chats[at : at + together])} for at in range(0, len(chats), together)]
    places = named or [draft.recipients.to_json()]
    count = len(draft.message.get("pieces", ()))
    if not count:
        return places
    return [spec for at, place in enumerate(places) for spec in _pieces(place, at * count, count)]


def _together(draft: Draft) -> int:
    """How many chats one call may name.

    One, whatever the account says, where a call for several would lose something: pieces follow each other chat by
    chat, a click is matched to its chat by the part, and an ordered part cannot be halved.
    """
    has_buttons = bool((content_of(draft.message) or {}).get("attachments"))
    alone = has_buttons or draft.ordered or "pieces" in draft.message
    return 1 if alone else chats_per_call(draft.account)


def halves(spec: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The spec of a call for several chats as two, each for half of them."""
    chats = spec["chats"]
    middle = len(chats) // 2
    return {**spec, "chats": chats[:middle]}, {**spec, "chats": chats[middle:]}


def without(spec: Mapping[str, Any], later: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A spec without the chats in `later` (lower case) and one for those alone; None: `later` has all or none."""
    put_off = [chat for chat in spec["chats"] if chat.lower() in later]
    rest = [chat for chat in spec["chats"] if chat.lower() not in later]
    return ({**spec, "chats": rest}, {**spec, "chats": put_off}) if rest and put_off else None


def _pieces(place: dict[str, Any], first: int, count: int) -> list[dict[str, Any]]:
    """Every piece but the first goes after the part before it."""
    return [{**place, "piece": n, **({"after": first + n - 1} if n else {})} for n in range(count)]
