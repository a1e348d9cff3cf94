"""Callbacks of an application: from a request's query, body and secrets to what the vendor reports.

Pure. `wecom/callback.py` decrypts and refuses requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.channels.wecom.callback import (
    Query,
    Tree,
    WecomVerifier,
    behind_signature,
    encrypted_in,
    envelope_of,
    id_at,
    listed,
    member,
    opened,
    text_at,
    tree_in,
)
from worker.domain.account import Account
from worker.domain.callbacks.inbound import CallbackRefused, CardPress, Inbound, content_of, unix_seconds

CARD_EVENTS = ("template_card_event", "template_card_menu_event")


@dataclass(frozen=True)
class AppVerifier(WecomVerifier):
    """Verifies and decrypts the requests to one account's callback address."""

    agentid: str

    def read(self, query: Query, body: bytes, now: float) -> Inbound:
        """Reads what a POST reports."""
        message = opened(self.envelope, query, encrypted_in(body), now, self.max_age_s)
        with behind_signature():
            return self._read(message, now)

    def _read(self, message: bytes, now: float) -> Inbound:
        tree = tree_in(message)
        # 'AgentId' is the old task cards' spelling (90240, taskcard_click).
        agentid = text_at(tree, "AgentID") or text_at(tree, "AgentId")
        if agentid and agentid != self.agentid:
            raise CallbackRefused(403, "meant for another application")
        happened_at = unix_seconds(text_at(tree, "CreateTime"))
        if happened_at is None:
            raise CallbackRefused(400, "no CreateTime in the message")
        self.require_recent(happened_at, now)
        msgtype, event = text_at(tree, "MsgType"), text_at(tree, "Event")
        name = event if msgtype == "event" and event else f"message:{msgtype}"
        return Inbound(
            event=name[:80],
            person=id_at(tree, "FromUserName"),
            happened_at=happened_at,
            identity=content_of(message),
            payload=tree,
            card=_card(tree) if event in CARD_EVENTS else None,
        )


def verifier(account: Account, secrets: Mapping[str, str], max_age_s: float) -> AppVerifier:
    """Returns the verifier of one account. ConfigurationError names a malformed key."""
    # The receiver of a self-built application's callbacks is its corp (page 90968).
    envelope = envelope_of(account.name, secrets["token"], secrets["aes_key"], str(account.settings["corpid"]))
    return AppVerifier(envelope, max_age_s, str(int(account.settings["agentid"])))


def _card(tree: Tree) -> CardPress:
    return CardPress(
        task_id=id_at(tree, "TaskId"),
        button=text_at(tree, "EventKey"),
        card_type=text_at(tree, "CardType"),
        response_code=text_at(tree, "ResponseCode") or None,
        selected=_selected(tree.get("SelectedItems")),
        menu=text_at(tree, "Event") == CARD_EVENTS[1],
    )


def _selected(items: Any) -> dict[str, list[str]]:
    """Returns question key to chosen option ids. `SelectedItem` and `OptionId` occur once or many times."""
    found: dict[str, list[str]] = {}
    for item in listed(items, "SelectedItem"):
        chosen = [option for option in listed(member(item, "OptionIds"), "OptionId") if isinstance(option, str)]
        found.setdefault(text_at(item, "QuestionKey"), []).extend(chosen)
    return found
