"""A job into parts: one call for each chat, and for each piece of a text that was split.

The vendor takes up to 100 chats in one call but does not say what became of each: so each chat has a call of its own,
and a refusal names its chat. Where the vendor was seen to post to none when it refuses one, an account may set
`chats_per_call`: a call that was refused is halved until the chat is found.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.channels.checking import blocks, overflow as overflows, truncate
from worker.channels.checking.overflow import Fitted
from worker.channels.checking.paths import SPLIT_FIELD, content_of, put
from worker.channels.checking.plain import byte_size
from worker.channels.checking.row import FieldRule, Prose, Row
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.fields import SPLIT_TYPES, body_rows
from worker.domain.account import Account
from worker.domain.job import Draft, Kind


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call: every piece to the first chat, in the order of reading, then to the next."""
    if draft.kind != Kind.SEND:
        return [{}]
    # One chat a call, whatever the account says, where a call for several would lose something: pieces follow each
    # other chat by chat, a click is matched to its chat by the part, and an ordered part cannot be halved.
    has_buttons = bool((content_of(draft.message) or {}).get("attachments"))
    alone = has_buttons or draft.ordered or "pieces" in draft.message
    together = 1 if alone else int(draft.account.settings.get("chats_per_call", 1))
    chats = draft.recipients.chats
    named: list[dict[str, Any]] = [{"chats": list(chats[at : at + together])} for at in range(0, len(chats), together)]
    places = named or [draft.recipients.to_json()]
    count = len(draft.message.get("pieces", ()))
    if not count:
        return places
    return [  # every piece but the first goes after the part before it
        {**place, "piece": n, **({"after": at * count + n - 1} if n else {})}
        for at, place in enumerate(places)
        for n in range(count)
    ]


def narrow(
    spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A spec without the chats in `later` (lower case) and one for those alone; None: `later` has all or none.

    Chats without room leave a call for several; no other call is divided.
    """
    put_off = [chat for chat in spec["chats"] if chat.lower() in later]
    rest = [chat for chat in spec["chats"] if chat.lower() not in later]
    return ({**spec, "chats": rest}, {**spec, "chats": put_off}) if rest and put_off else None


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    msgtype, content = str(document.get("type")), content_of(document)
    if kind != Kind.SEND or content is None:
        return dict(document), []
    rows = body_rows(edition(account), msgtype, content)
    if overflow == "split":
        return _split(document, msgtype, content.get(SPLIT_FIELD), rows)
    return overflows.fit(document, msgtype, rows, overflow, None)


def _split(document: Mapping[str, Any], msgtype: str, text: Any, rows: tuple[Row, ...]) -> Fitted:
    """Splits the content of a text or markdown into several messages, each of which says its number."""
    most = next((row.max_bytes for row in rows if isinstance(row, FieldRule) and row.path == SPLIT_FIELD), None)
    if msgtype not in SPLIT_TYPES or not isinstance(text, str) or most is None or byte_size(text) <= most:
        return dict(document), []
    room = most - len("(999/999)\n\n")
    found = truncate.pieces(text, room, byte_size, Prose.LINKS) if msgtype == "text" else blocks.pieces(text, room)
    if not found or len(found) > truncate.MOST_PIECES:
        return dict(document), []
    held = put(document["body"], [msgtype, SPLIT_FIELD], None)
    # Apart by a blank line: no mark of a piece may join the number.
    pieces = [f"({n}/{len(found)})\n\n{piece}" for n, piece in enumerate(found, start=1)]
    note = f"{msgtype}.{SPLIT_FIELD}: {byte_size(text)} bytes, split into {len(found)} messages"
    return {**document, "body": held, "pieces": pieces}, [note]
