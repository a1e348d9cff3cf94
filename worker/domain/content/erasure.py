"""Takes a person, or all persons, out of what is stored of a job; the counts stay. Pure.

In the place of a recipient stands a mark that no vendor takes for an id, so that as many recipients are counted.
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
"""What a mark begins with."""
_OF_IDS = frozenset({*LISTS.values(), *_LISTS_IN_MESSAGES, "by_sender", "sender", "left_out", "member", "recipient"})
"""Keys of documents under which a text is an id as a whole."""
_NOT_OF_PERSONS = frozenset(
    {"parties", "tags", "type", "msgtype", "msgType", "MsgType", "card_type", "AgentID", "Event"}
)
"""Keys under which no text is a person's, though it may look like one's id."""
_MENTION = r"<@[^<>\s]{1,64}>"


def is_erased(recipient: str) -> bool:
    """True for a recipient that was taken out."""
    return recipient.startswith(ERASED)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is taken out."""

    placeholders: Mapping[str, str]
    """Persons (see `same_person`) -> what stands in their place."""
    in_texts: Callable[[str], str] = str
    """Returns a text for people without them."""

    def id(self, recipient: str) -> str:
        """An id, or the mark in its place."""
        return self.placeholders.get(same_person(recipient), recipient)

    def document(self, document: str) -> str:
        """A JSON document without them; as it is where it holds none."""
        try:
            found = json.loads(document)
        except ValueError:
            return self.in_texts(document)
        erased = self._erased(found, is_id=False)
        return document if erased == found else json.dumps(erased, ensure_ascii=False, separators=(",", ":"))

    def _erased(self, value: Any, *, is_id: bool) -> Any:
        match value:
            case str():
                return self.id(value) if is_id else self.in_texts(value)
            case list():
                return [self._erased(one, is_id=is_id) for one in value]
            case dict():
                return {
                    name: one if name in _NOT_OF_PERSONS else self._erased(one, is_id=name in _OF_IDS)
                    for name, one in value.items()
                }
        return value


def of_person(person: str, mark: str) -> Erasure:
    """Takes one person out, in texts wherever the id stands by itself, in any case and width."""
    either = "".join(f"[{re.escape(one)}{_wide(one)}]" for one in same_person(person))
    # A mention is an id as a whole.
    pattern = re.compile(rf"{_MENTION}|(?<![A-Za-z0-9_]){either}(?![A-Za-z0-9_])", re.IGNORECASE)

    def erased(found: re.Match[str]) -> str:
        if not found[0].startswith("<@"):
            return mark
        return f"<@{mark}>" if same_person(found[0][2:-1]) == same_person(person) else found[0]

    return Erasure({same_person(person): mark}, lambda text: pattern.sub(erased, text))


def _wide(character: str) -> str:
    """The same character in full width, and that in capitals; empty where there is none."""
    return "".join(
        chr(ord(one) + 0xFEE0) for one in {character, character.upper()} if len(one) == 1 and "!" <= one <= "~"
    )


def of_all(recipients: str, message: str) -> Erasure:
    """Takes all persons of a job out of its lists; texts stay."""
    return Erasure({person: f"{ERASED}{n}" for n, person in enumerate(sorted(persons(recipients, message)))})


def names_only(person: str, recipients: str, message: str) -> bool:
    """True when a job names this person and no other."""
    return {one for one in persons(recipients, message) if not is_erased(one)} <= {same_person(person)}
