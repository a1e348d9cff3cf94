"""What is wrong with the making or changing of an app group chat, and with a card update (page 94888).

Also whether the card that an update is about can be updated at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking import plain, rules
from worker.channels.wecom import USERID, USERID_WANTED
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.messages.cards import INTERACTIVE, calls_back, card_of
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind


def chat_problems(draft: Draft) -> Iterator[Problem]:
    """Name, owner, members and chatid of a new chat, or of a change, which has to change something."""
    body: Mapping[str, Any] = draft.message.get("body") or {}
    rows = fields.CREATE_CHAT if draft.kind == Kind.CREATE_CHAT else fields.CHANGE_CHAT
    yield from plain.unfit("chat", body)
    yield from rules.problems("chat", body, rows)
    for name in (*fields.MEMBER_LISTS, "owner"):
        yield from _unfit_ids(name, body.get(name))
    if draft.kind == Kind.CHANGE_CHAT and not body.keys() - {"chatid"}:
        yield Problem("chat", "nothing is to be changed", "give name, owner, add_user_list or del_user_list")


def _unfit_ids(name: str, value: Any) -> Iterator[Problem]:
    """One problem a list, with the place of the first wrong entry and no value."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    wrong = [place for place, entry in enumerate(entries) if not isinstance(entry, str) or not USERID.fullmatch(entry)]
    if wrong:
        text = f"{len(wrong)} entries are no userids (vendor code 86007), the first at place {wrong[0]}"
        yield Problem(f"chat.{name}", text, USERID_WANTED)
    known = {entry.lower() for entry in entries if isinstance(entry, str)}
    if len(known) < len(entries) - len(wrong):
        yield Problem(f"chat.{name}", "names a member twice", "name each member once")


CODE_BYTES = 1024
"""Above every response_code that was seen (about 40); their length is not published (page 94888)."""


def form_problems(draft: Draft) -> Iterator[Problem]:
    """Exactly one of the two forms, and its own fields."""
    button, card = draft.message.get("button"), draft.message.get("template_card")
    if (button is None) == (card is None):
        yield Problem("template_card", "exactly one of button and template_card", "give replace_name or template_card")
    yield from plain.unfit("", {"button": button, "template_card": card})
    if isinstance(button, Mapping):
        yield from rules.problems("button", button, fields.REPLACE_NAME)
    if draft.message.get("enable_id_trans", 0) not in (0, 1):
        yield Problem("enable_id_trans", "has no such value", "use one of 0, 1")


def code_problems(draft: Draft) -> Iterator[Problem]:
    """Checks a response_code that the application gave; one that we stored came from the vendor."""
    if "response_code" not in draft.message:
        return
    code = draft.message["response_code"]
    remedy = "give the response_code of the send's answer or of a callback (vendor code 60140)"
    if not isinstance(code, str) or not code.strip():
        yield Problem("response_code", "is not a text with something in it", remedy)
        return
    yield from plain.unfit_text("response_code", code)
    if (size := plain.byte_size(code)) > CODE_BYTES:
        yield Problem("response_code", "is too long", remedy, CODE_BYTES, "bytes", size)


def original_problems(draft: Draft) -> Iterator[Problem]:
    """A card without a response_code can never be updated, and only cards with buttons can be frozen."""
    if not draft.about:
        return
    card = card_of(draft.about)
    if card is None:
        text = "the job sent no template card, and only those can be updated"
        yield Problem("job_id", text, "recall it and send a new message")
    elif not calls_back(card):
        text = f"a {card.get('card_type')} without action_menu brings no response_code and cannot be updated"
        yield Problem("job_id", text, "recall it and send a new card; give it an action_menu if it has to change later")
    elif draft.message.get("button") is not None and card.get("card_type") not in INTERACTIVE:
        text = f"a {card.get('card_type')} has no buttons to freeze"
        yield Problem("button", text, "replace the whole card: CardUpdate(template_card=...)")
