"""Callbacks of an application: from the query, the body and the secrets of a request to what the vendor says.

Pure. The order of checks is the vendor's own: parse, signature, decrypt, receiver (page 90968); nothing of a request is
believed before its signature proved right. What is refused is refused with a fixed phrase: nothing that came is quoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.crypto.envelope import Envelope, EnvelopeError, ForeignReceiver, WrongSignature
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError
from worker.domain.inbound import CallbackRefused, CardPress, Inbound

CARD_EVENTS = ("template_card_event", "template_card_menu_event")
DEEPEST = 8
"""Levels of a callback's XML; the vendor's own has five (SelectedItems/SelectedItem/OptionIds/OptionId)."""
LONGEST_ID = 128
"""Of an id in a callback (a task_id; userids have 64): a longer one is none of the vendor's, and no column holds it."""

Query = Mapping[str, str]
Tree = dict[str, Any]


@dataclass(frozen=True)
class CallbackDoor:
    """Reads the requests to one account's callback address."""

    envelope: Envelope
    agentid: str
    max_age_s: float

    def verify(self, query: Query, now: float) -> bytes:
        """The answer to the vendor's URL verification: what `echostr` holds, and nothing around it."""
        return self._open(query, _given(query, "echostr"), now)

    def read(self, query: Query, body: bytes, now: float) -> Inbound:
        """What a POST says."""
        encrypted = _parsed(body).findtext("Encrypt")
        if not encrypted or not encrypted.strip():
            raise CallbackRefused(400, "no Encrypt in the body")
        # The vendor's samples put whitespace around CDATA; the signature is over what is inside.
        return self._inbound(_tree(_parsed(self._open(query, encrypted.strip(), now)), 1))

    def _open(self, query: Query, encrypted: str, now: float) -> bytes:
        given, timestamp, nonce = (_given(query, name) for name in ("msg_signature", "timestamp", "nonce"))
        try:
            message = self.envelope.open(given, timestamp, nonce, encrypted)
        except WrongSignature:
            raise CallbackRefused(403, "wrong signature") from None
        except ForeignReceiver:
            raise CallbackRefused(403, "meant for another receiver") from None
        except EnvelopeError:
            raise CallbackRefused(400, "does not decrypt to a message") from None
        # Retries carry a timestamp of their own, so an old one is a request somebody kept. (90930)
        if not timestamp.isascii() or not timestamp.isdecimal() or abs(now - int(timestamp[:15])) > self.max_age_s:
            raise CallbackRefused(403, "stale timestamp")
        return message

    def _inbound(self, tree: Tree) -> Inbound:
        # 'AgentId' is the old task cards' spelling (90240, taskcard_click).
        agentid = _text(tree, "AgentID") or _text(tree, "AgentId")
        if agentid and agentid != self.agentid:
            raise CallbackRefused(403, "meant for another application")
        happened = _text(tree, "CreateTime")
        if not happened.isascii() or not happened.isdecimal() or len(happened) > 12:
            raise CallbackRefused(400, "no CreateTime in the message")
        msgtype, event = _text(tree, "MsgType"), _text(tree, "Event")
        name = event if msgtype == "event" and event else f"message:{msgtype}"
        return Inbound(
            event=name[:80],
            person=_id(tree, "FromUserName"),
            happened_at=int(happened),
            identity=_identity(tree, name),
            payload=tree,
            card=_card(tree) if event in CARD_EVENTS else None,
        )


def door(account: Account, token: str, aes_key: str, max_age_s: float) -> CallbackDoor:
    """The door of one account; a key that is none is a ConfigurationError that names it."""
    try:
        # The receiver of a self-built application's callbacks is its corp (page 90968).
        envelope = Envelope(token, aes_key, str(account.settings["corpid"]))
    except EnvelopeError as error:
        raise ConfigurationError(f"accounts.{account.name}.callback.aes_key: {error}") from None
    return CallbackDoor(envelope, str(int(account.settings["agentid"])), max_age_s)


def _identity(tree: Tree, name: str) -> tuple[str, ...]:
    """Messages by MsgId (page 90239). Events by sender and second (90240), and by everything else that tells two quick
    presses apart; never by the cipher text, which differs with every delivery.
    """
    if msgid := _text(tree, "MsgId"):
        return ("message", msgid)
    members = ("FromUserName", "CreateTime", "EventKey", "TaskId", "JobId", "ResponseCode", "ChangeType")
    # The id of a contact job stands one level deeper (batch_job_result).
    inner = tree.get("BatchJob")
    return ("event", name, *(_text(tree, one) for one in members), _text(inner, "JobId"))


def _card(tree: Tree) -> CardPress:
    return CardPress(
        task_id=_id(tree, "TaskId"),
        button=_text(tree, "EventKey"),
        card_type=_text(tree, "CardType"),
        response_code=_text(tree, "ResponseCode") or None,
        selected=_selected(tree.get("SelectedItems")),
        menu=_text(tree, "Event") == CARD_EVENTS[1],
    )


def _selected(items: Any) -> dict[str, list[str]]:
    """`SelectedItem` and `OptionId` stand once or many times."""
    found: dict[str, list[str]] = {}
    for item in _listed(items, "SelectedItem"):
        chosen = [option for option in _listed(_member(item, "OptionIds"), "OptionId") if isinstance(option, str)]
        found.setdefault(_text(item, "QuestionKey"), []).extend(chosen)
    return found


def _listed(holder: Any, name: str) -> list[Any]:
    found = _member(holder, name)
    return found if isinstance(found, list) else [] if found in (None, "") else [found]


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else None


def _text(holder: Any, name: str) -> str:
    value = _member(holder, name)
    return value if isinstance(value, str) else ""


def _id(tree: Tree, name: str) -> str:
    value = _text(tree, name)
    if len(value) > LONGEST_ID:
        raise CallbackRefused(400, f"{name} is too long")
    return value


def _given(query: Query, name: str) -> str:
    value = query.get(name)
    if not value:
        raise CallbackRefused(400, f"no {name} in the query")
    return value


def _parsed(body: bytes) -> Element:
    """XML without a document type, entities or anything to fetch."""
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except DefusedXmlException:
        raise CallbackRefused(400, "XML with a document type or entities") from None
    except (ParseError, ValueError, LookupError):  # LookupError: an encoding nobody knows
        raise CallbackRefused(400, "not XML") from None
    return root


def _tree(element: Element, depth: int) -> Tree:
    """An element's children as a dict; one that stands several times is a list."""
    if depth > DEEPEST:
        raise CallbackRefused(400, "XML nested too deeply")
    out: Tree = {}
    for child in element:
        value = _tree(child, depth + 1) if len(child) else (child.text or "").strip()
        if child.tag not in out:
            out[child.tag] = value
        elif isinstance(out[child.tag], list):
            out[child.tag].append(value)
        else:
            out[child.tag] = [out[child.tag], value]
    return out
