"""The message of a card update (更新模版卡片消息, page 94888)."""

from __future__ import annotations

from typing import Any

from pydantic import InstanceOf

from worker.channels.typed import VendorMessage
from worker.channels.wecom_app.messages.card import Card


class CardUpdate(VendorMessage):
    """The message of an update_card job (page 94888 更新模版卡片消息); one of the two forms.

    Targets are the job's recipients, at most 1000 users, 100 parties and 100 tags; none: everyone of the original. Only
    a card that calls back can be updated, once per response_code and within 72 h.
    """

    replace_name: str | None = None
    """Form A: the buttons become grey and show this text. Only button, vote and multiple cards."""
    template_card: InstanceOf[Card] | dict[str, Any] | None = None
    """Form B: the new card, of any type, typed or in the vendor's fields; `replace_text` freezes its buttons. The
    original's task_id stays, so one given here is left out."""
    enable_id_trans: int | None = None
    """Form B: 1 translates `$userName=USERID$` and its like."""

    def document(self) -> dict[str, Any]:
        """`{"type": "card_update", "button": {"replace_name": ..}}` or `{"type": .., "template_card": {..}}`."""
        out: dict[str, Any] = {"type": "card_update"}
        if self.replace_name is not None:
            out["button"] = {"replace_name": self.replace_name}
        if self.template_card is not None:
            card = self.template_card
            given = card.card() if isinstance(card, Card) else card
            out["template_card"] = {name: value for name, value in given.items() if name != "task_id"}
        if (translated := self._translated()) is not None:
            out["enable_id_trans"] = translated
        return out

    def _translated(self) -> int | None:
        card = self.template_card
        if self.enable_id_trans is None and isinstance(card, Card):
            return card.enable_id_trans
        return self.enable_id_trans
