"""What is wrong with a card update (page 94888), and whether the card it is about can be updated at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.checking import plain, rules
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.messages.content import calls_back, card_of
from worker.domain.errors import Problem
from worker.domain.job import Draft

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
    size = len(code.encode("utf-8", "surrogatepass"))
    if size > CODE_BYTES:
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
    elif draft.message.get("button") is not None and card.get("card_type") not in fields.INTERACTIVE:
        text = f"a {card.get('card_type')} has no buttons to freeze"
        yield Problem("button", text, "replace the whole card: CardUpdate(template_card=...)")
