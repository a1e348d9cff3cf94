"""Reads a WeCom answer with distrust, in types that can be stored, and returns what its code requires.

`errcode` decides, not the HTTP status. Knows no kind of call: each channel's own `channel.py` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

from worker.channels.errcodes import Catalogue, Class, Errcode, ErrcodeFile
from worker.channels.wecom import redact
from worker.channels.wecom.redact import remedy
from worker.domain.call import Reply
from worker.domain.job import Part
from worker.domain.outcome import (
    Contradiction,
    ContradictionSort,
    Outcome,
    Parked,
    Rejected,
    Unknown,
    Verdict,
)

WRONG_SECRET = Errcode(
    40001,
    "the secret is wrong, belongs to another corpid, or the app is disabled",
    Class.CONFIG,
    "correct corpid and secret",
)
"""From gettoken itself, 40001 means a wrong secret, not a stale token (page 91039)."""
ERRCODES = Catalogue(ErrcodeFile("wecom"), at_gettoken=WRONG_SECRET)
"""The codes of all WeCom APIs. A webhook has further ones of its own."""

WRONG_FORMAT = "wrong json format"
MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer, at most. A thousand refused ids are 64 KB. A larger body is not the vendor's."""
MAX_VALUES = 100_000
"""Values, and entries of lists in one text (`a|b`), at most. The longest answer of a vendor has a tenth."""
MAX_DIGITS = 64
"""Digits of a whole number, at most. Python takes the square of their number."""
_BEFORE_VALUES = b"[{,|"
MAX_ERRMSG = 2000
MAX_DELAY_S = 3600.0
MAX_ID = 4096
"""Characters of an id or token, at most. Observed ids have up to 128, access tokens up to 512."""

STATUSES = range(100, 600)
"""The statuses of HTTP. No vendor has codes among them."""

_INTEGER = re.compile(r"\s*-?[0-9]{1,9}\s*")
_INSTANT = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A readable answer of the vendor."""

    errcode: int
    errmsg: str
    data: Mapping[str, Any]


def read(reply: Reply, promised: str | None = None) -> Answer | None:
    """Returns the vendor's answer, or None. A success without `errcode` (page 90313) must have the promised id.

    An `errcode` that is a status of HTTP is not the vendor's: a gateway says in JSON why it passed no answer on.
    """
    data = _json_object(reply.body)
    if data is None:
        return None
    is_success = data.get("errcode") is None and promised and text_of(data.get(promised))
    errcode = 0 if is_success else integer(data, "errcode")
    if errcode is None or errcode in STATUSES:
        return None
    errmsg = data.get("errmsg")
    return Answer(errcode, storable(errmsg[:MAX_ERRMSG]) if isinstance(errmsg, str) else "", data)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        data = json_of(body)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def json_of(body: bytes) -> Any:
    """Returns the value of a JSON text, also of one with raw control characters or bytes that are no UTF-8.

    Raises ValueError for any other text, and for one that is too long, too deep or has too many values: Python reads
    all of it in one step, in which no other thread runs.
    """
    if len(body) > MAX_BODY or (len(body) > MAX_VALUES and _values(body) > MAX_VALUES):
        raise ValueError
    try:
        return _DECODER.decode(body.decode("utf-8", "replace").lstrip("\ufeff"))
    except RecursionError:
        raise ValueError from None


def _values(body: bytes) -> int:
    return len(body) - len(body.translate(None, _BEFORE_VALUES))


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


_DECODER = json.JSONDecoder(strict=False, parse_int=_whole_number)


def integer(data: Mapping[str, Any], name: str) -> int | None:
    """Returns an integer, also one written as a string or as `0.0`. None for anything else."""
    value = data.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value) if _INTEGER.fullmatch(str(value)) else None


def moment(data: Mapping[str, Any], name: str) -> int | None:
    """Returns an instant in Unix seconds, from a number or a string of digits. None for anything else."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value) if _INSTANT.fullmatch(str(value)) else None


def text_of(value: Any) -> str | None:
    """Returns an id as text that can be stored, or None if there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**40 else ""
    if not isinstance(value, str) or not value or len(value) > MAX_ID:
        return None
    return storable(value)


def listed(value: Any) -> list[str] | None:
    """Returns a list of ids from `a|b` (message/send) or an array (update_template_card). None for another type."""
    entries = value.split("|") if isinstance(value, str) else value
    if isinstance(entries, int) and not isinstance(entries, bool):
        entries = [entries]
    if not isinstance(entries, list):
        return None
    texts = [text_of(entry) for entry in entries]
    return [text.strip() for text in texts if text and text.strip()]


def storable(text: str) -> str:
    """Returns vendor text without NUL and half characters, so that every database accepts it."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def retry_after(reply: Reply) -> float | None:
    """Returns the seconds of a Retry-After header, bounded. A date counts as 60, because a channel has no clock."""
    if "retry-after" not in reply.headers:
        return None
    seconds = reply.retry_after_s()
    return 60.0 if seconds is None else min(max(seconds, 1.0), MAX_DELAY_S)


# -- what it means -----------------------------------------------------------------------------------------------------


def verdict(part: Part, answer: Answer, outcome: Outcome, page: Page, errcodes: Catalogue = ERRCODES) -> Verdict:
    """Combines an outcome with what may be kept of the answer. `page` describes how the answer should look."""
    odd = contradictions(page, answer, outcome, part)
    if answer.errmsg == "ok" and not isinstance(outcome, Parked):
        return Verdict(outcome, answer.errcode, answer.errmsg, contradictions=odd)
    ip = redact.caller_ip(answer.errmsg)
    if isinstance(outcome, Parked):
        outcome = replace(outcome, remedy=remedy(outcome.remedy, answer.errcode, answer.errmsg))
    reason, hint, unseen = (
        redact.reason(answer.errmsg, part),
        redact.hint(answer.errmsg),
        errcodes.is_unseen(answer.errcode),
    )
    return Verdict(outcome, answer.errcode, reason, hint, ip, unseen, odd)


ELSEWHERE = "the vendor's calls are not there; correct base_url: the vendor's host, without the path of a call"
PROXY_LOGIN = "the proxy refuses user and password; correct them in the account's `proxy`"
REMEDIES = {**dict.fromkeys((301, 302, 303, 307, 308, 404, 405), ELSEWHERE), 407: PROXY_LOGIN}
"""Remedies, by the status of an answer that is not the vendor's."""


def no_vendor(reply: Reply) -> Unknown:
    """Returns what an answer of a proxy, gateway or portal means: unknown, whatever its status.

    Only the vendor's own JSON proves that a call was refused. A proxy that answers 429 or 503 may have passed the
    call on before, for example in an earlier try of its own. Its Retry-After delays the lane, and so the repeat.
    """
    status, delay = reply.status, retry_after(reply) or 0.0
    if (remedy := REMEDIES.get(status)) is not None:
        return Unknown(f"http_{status}: {remedy}", delay=delay)
    return Unknown(f"http_{status} without the vendor's JSON", delay=delay)


# -- as the page says --------------------------------------------------------------------------------------------------

NUMBER, TEXT, LIST = (int,), (str,), (list,)


@dataclass(frozen=True, slots=True)
class Page:
    """What the vendor's page says about the answers to a call."""

    name: str
    """The page's number, or the call's path without one."""
    fields: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    """The fields in addition to `errcode` and `errmsg`, with their JSON types."""
    promised: str | None = None
    """The field that every success has."""


_ALWAYS: Mapping[str, tuple[type, ...]] = {"errcode": NUMBER, "errmsg": TEXT}
_WORDS = re.compile(r"[a-z]{1,20}([_A-Z][a-z]{0,20}){0,4}", re.ASCII)
_MAX_SHOWN = 20


def contradictions(page: Page, answer: Answer, outcome: Outcome, part: Part) -> tuple[Contradiction, ...]:
    """Finds where an answer differs from its page: a new code, a new field, another type, a missing promised id."""
    data, found, named = answer.data, list[tuple[ContradictionSort, str]](), _Named(part)
    if isinstance(outcome, Rejected) and outcome.unknown_code:
        found.append(("code", f"errcode {answer.errcode} is in no table"))
    for name, value in data.items():
        types = _ALWAYS.get(name) or page.fields.get(name)
        if types is None:
            found.append(("field", f"a field {named.shown(name)} that the page does not have"))
        elif value is not None and type(value) not in types:
            found.append(("type", f"{name} is {_type_of(value)}"))
        if len(found) >= _MAX_SHOWN:
            break
    if page.promised and answer.errcode == 0 and not data.get(page.promised):
        found.append(("promise", f"a success without {page.promised}"))
    if not found:
        return ()
    shape = {named.shown(name): _shape(name, value) for name, value in list(data.items())[:_MAX_SHOWN]}
    sample = json.dumps(shape)
    return tuple(Contradiction(sort, f"page {page.name}: {fact}", sample) for sort, fact in found)


class _Named:
    """Decides which field names of an answer are shown: words like the vendor's own that name nothing of the part."""

    def __init__(self, part: Part):
        self._part = part

    @cached_property
    def _texts(self) -> frozenset[str]:
        return frozenset(_texts([self._part.spec, self._part.members or ()]))

    def shown(self, name: str) -> str:
        """Returns the field's name, unless it may be a person, a number or a key."""
        return name if _WORDS.fullmatch(name) and name.casefold() not in self._texts else "with another name"


def _texts(value: Any) -> Iterator[str]:
    """Yields every text inside, in lower case."""
    match value:
        case str():
            yield value.casefold()
        case Mapping():
            yield from chain.from_iterable(map(_texts, value.values()))
        case list() | tuple():
            yield from chain.from_iterable(map(_texts, value))


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"


def _shape(name: str, value: Any) -> Any:
    if name == "errcode" and isinstance(value, int):
        return value
    json_type = _type_of(value)
    return f"{json_type} of {len(value)}" if isinstance(value, str | list | dict) else json_type


def warns(answer: Answer) -> list[str]:
    """Returns the vendor's own warning, which can accompany errcode 0 (page 90313)."""
    return ["the vendor warns of a wrong JSON format"] if WRONG_FORMAT in answer.errmsg.lower() else []
