"""Erases a person, or all persons, from the stored texts and documents of a job.

A placeholder that no vendor accepts as an id replaces each recipient, so that the counts stay the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.content.recipient import LISTS, same_person
from worker.domain.job_terms import persons

_LISTS_IN_MESSAGES = (
    *("mentioned_list", "mentioned_mobile_list", "userlist", "owner", "add_user_list", "del_user_list"),
    "owner_id",
)
ERASED = "#erased-"
"""The beginning of a placeholder."""
_OF_IDS = frozenset({*LISTS.values(), *_LISTS_IN_MESSAGES, "by_sender", "sender", "left_out", "member", "recipient"})
"""Keys of documents under which a text is an id as a whole."""
_NOT_OF_PERSONS = frozenset(
    {"parties", "tags", "type", "msgtype", "msgType", "MsgType", "card_type", "AgentID", "Event"}
)
"""Keys under which no text is a person's, though it may look like one's id."""
_MENTION = r"<@[^<>\s]{1,64}>"


def is_erased(recipient: str) -> bool:
    """Returns True for a recipient that was erased."""
    return recipient.startswith(ERASED)


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure of one or more persons."""

    placeholders: Mapping[str, str]
    """Persons (see `same_person`) -> the placeholders that replace them."""
    in_texts: Callable[[str], str] = str
    """Returns a text without these persons."""

    def id(self, recipient: str) -> str:
        """Returns an id, or the placeholder in its place."""
        return self.placeholders.get(same_person(recipient), recipient)

    def document(self, document: str) -> str:
        """Returns a JSON document without these persons, unchanged if it holds none of them."""
        try:
            value = json.loads(document)
        except (ValueError, RecursionError):
            return self.in_texts(document)
        erased = self._erased(value, is_id=False)
        return document if erased == value else json.dumps(erased, ensure_ascii=False, separators=(",", ":"))

    def _erased(self, value: Any, *, is_id: bool) -> Any:
        match value:
            case str():
                return self.id(value) if is_id else self.in_texts(value)
            case list():
                return [self._erased(entry, is_id=is_id) for entry in value]
            case dict():
                return {
                    name: entry if name in _NOT_OF_PERSONS else self._erased(entry, is_id=name in _OF_IDS)
                    for name, entry in value.items()
                }
        return value


def of_person(person: str, mark: str) -> Erasure:
    """Returns the erasure of one person: in texts wherever the id stands by itself, in any case and width."""
    either = "".join(f"[{re.escape(character)}{_wide(character)}]" for character in same_person(person))
    # A mention is an id as a whole.
    pattern = re.compile(rf"{_MENTION}|(?<![A-Za-z0-9_]){either}(?![A-Za-z0-9_])", re.IGNORECASE)

    def erased(match: re.Match[str]) -> str:
        if not match[0].startswith("<@"):
            return mark
        return f"<@{mark}>" if same_person(match[0][2:-1]) == same_person(person) else match[0]

    return Erasure({same_person(person): mark}, lambda text: pattern.sub(erased, text))


def _wide(character: str) -> str:
    """Returns a character in full width, also its capital, or an empty string if it has no such form."""
    return "".join(
        chr(ord(form) + 0xFEE0) for form in {character, character.upper()} if len(form) == 1 and "!" <= form <= "~"
    )


def of_all(recipients: str, message: str) -> Erasure:
    """Returns the erasure of all persons of a job from its lists. Texts stay."""
    return Erasure({person: f"{ERASED}{n}" for n, person in enumerate(sorted(persons(recipients, message)))})


def names_only(person: str, recipients: str, message: str) -> bool:
    """Returns True if a job names this person and no other."""
    return {name for name in persons(recipients, message) if not is_erased(name)} <= {same_person(person)}
