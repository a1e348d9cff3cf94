"""Reads what the errmsg of an answer says about the recipients of a call, and what of it may be kept.

The vendor says only that it "contains the list of invalid users". Neither its form nor its words are documented
(c01_00003), so names are searched for and the text is never parsed by a rule. Only words that are known to be the
server's are kept.

The documentation also leaves open what a server does with accounts it does not know. The account's `invalid_users` says
what this server was seen to do. By default nothing is assumed.

| answer | strict | partial | partial-error | unknown |
|---|---|---|---|---|
| errcode 0, names | open | accepted for the others | accepted for the others | open |
| 200007, names | called again without the named: none got it | open | accepted for the others | open |
| 200007, no name | refused for all | open | open | open |

"Open" means: the named are refused, the result for the others is unknown, and nothing is repeated automatically. If all
are named, or a 200007 answers a call for one recipient, it is refused whatever the setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from worker.channels.youdu.account import InvalidUsers, invalid_users
from worker.channels.youdu.targets import LEFT_OUT, TARGETS, addressed
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Partial, Progress, Refusal, Rejected, Unknown

MASK = "***"
MAX_REASON = 200
MAX_WORDS, MAX_BETWEEN = 4096, 16
"""Characters of an errmsg that are no names, at most: its words, and what stands between two names. A longer text is no
list of the recipients, and is not searched: each of a thousand names would take its whole length."""
_RUN = re.compile(r"[^\s,;:()\[\]'\"|.]+")
_MASKS = re.compile(r"\*\*\*(?:[\s,;:()\[\]'\"|.]*\*\*\*)+")

VOCABULARY = frozenset(
    """
    a access accesstoken an and any api app appid bad base64 be body buin busy by call can cannot content data decrypt
    decode denied dept deptid does email empty encrypt error exceed exceeds exist exists expired fail failed failure
    field file forbidden format found from has have id illegal in int integer internal invalid is it json key length
    limit list long many max media mediaid media_id member message miss missing msg msgtype must no not null of ok
    operation or out over param parameter parse permission please request required resource right server success
    system text the this to todept toemail token too touser type unknown unsupported user userid users wrong
    """.split()  # noqa: SIM905 - a table of words reads better as text
)


def reason(errmsg: str) -> str:
    """Returns the errmsg with only the server's known words. A run of anything else becomes one mask."""
    words = _RUN.sub(lambda found: found[0] if found[0].lower() in VOCABULARY else MASK, errmsg[: 4 * MAX_REASON])
    return _MASKS.sub(MASK, words).strip()[:MAX_REASON]


FIELD = "errmsg"
"""The field that names a refused recipient: there is no list."""

_LISTED = frozenset("|,;[]，；、\"'")
"""What separates the entries of a list."""
_INSIDE = "\0"
"""Stands for the inner characters of a name that was looked for. No account or address contains it."""
_LATIN, _ANY = rf"0-9a-z_@+/#%&*~$^\\{_INSIDE}", rf"\w@+{_INSIDE}"
"""Characters that continue a name. A full stop or a hyphen does if another of them follows."""


def named(part: Part, errmsg: str) -> tuple[tuple[Refusal, ...], bool]:
    """Returns the part's accounts and addresses that are a whole word of the text, in the caller's spelling.

    Also returns True if another word may name a recipient, or may be a plain word of the sentence, or if the text is
    too long to be a list of them.
    """
    lists, text = addressed(part), errmsg.lower()
    # Departments are not documented to be named.
    people = [target for target in TARGETS if target.name != "parties"]
    asked = {entry.lower(): Refusal(entry, one.kind, FIELD) for one in people for entry in lists[one.name]}
    if len(text) > MAX_WORDS + sum(map(len, asked)) + MAX_BETWEEN * len(asked):
        return (), True
    sure, doubtful = set[str](), False
    for name in sorted(asked, key=len, reverse=True):
        if name not in text:
            continue
        edge = _LATIN if name.isascii() else _ANY
        places = [*_places(name, text, edge)]
        if not places:
            # A name that is not Latin inside a longer run: it is unclear where it begins and ends.
            doubtful = doubtful or not name.isascii()
        elif name in VOCABULARY and _LISTED.isdisjoint("".join(places)):
            doubtful = True  # "invalid user": an account may be called so
        else:
            sure.add(name)
        # `zhang(2)` does not name `zhang`. Its ends stay, because what stands beside them may be a name.
        text = text.replace(name, f"{name[0]}{_INSIDE}{name[-1]}")
    return tuple(refusal for key, refusal in asked.items() if key in sure), doubtful


def _places(name: str, text: str, edge: str) -> Iterator[str]:
    """Yields what stands right before and behind a name, wherever it stands alone in the text."""
    # A search by a pattern that begins with what may not stand before it tries every character of the text.
    before, after = re.compile(rf"[{edge}.-]"), re.compile(rf"[.-]*[{edge}]")
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not (at and before.match(text, at - 1)) and not after.match(text, end):
            yield text[max(0, at - 1) : at] + text[end : end + 1]
        at = text.find(name, at + 1)


ODD = "errcode 0 with another errmsg than ok"
REFUSED = "200007 invalid toUser"
SETTING = "set invalid_users to what this server does"


def accepted(part: Part, account: Account, errmsg: str) -> Outcome:
    """Reads errcode 0: every recipient has it, unless errmsg says otherwise."""
    before = _left_out(part)
    if errmsg.strip().lower() in ("", "ok"):
        return _accepted(part, before)
    found, doubtful = named(part, errmsg)
    if not found and not doubtful:
        return _accepted(part, before, f"{ODD}: a person should check it")
    refusals = (*before, *found)
    if _is_everybody(part, refusals):
        return Rejected(f"{ODD}: it names every recipient", refusals)
    if invalid_users(account) in (InvalidUsers.PARTIAL, InvalidUsers.PARTIAL_ERROR) and not doubtful:
        return _accepted(part, refusals)
    return _open(ODD, refusals)


def refused(part: Part, account: Account, errmsg: str) -> Outcome:
    """Reads 200007: some or all of the recipients are unknown to the server."""
    before, mode = _left_out(part), invalid_users(account)
    found, doubtful = named(part, errmsg)
    refusals, lists = (*before, *found), addressed(part)
    others = lists["parties"] or lists["emails"] or part.spec.get("everyone")
    if len(lists["users"]) == 1 and not others:  # it can only mean that one
        return Rejected(REFUSED, (*before, Refusal(lists["users"][0], "user", FIELD)))
    if _is_everybody(part, refusals) or (mode is InvalidUsers.STRICT and not found):
        return Rejected(REFUSED, refusals)
    if mode is InvalidUsers.STRICT:
        # No recipient got it, so the call can be made for the others at once. Each round leaves out more of them,
        # because only recipients of the call are searched for in its answer. So it ends.
        spec = {**part.spec, LEFT_OUT: [one.recipient for one in refusals]}
        # Stored now: the answer to the next call may be lost, and a person's word that it arrived is for the others.
        return Progress(spec, f"{REFUSED}: again without the {len(refusals)} named", refusals=refusals)
    if mode is InvalidUsers.PARTIAL_ERROR and found and not doubtful:
        return _accepted(part, refusals)
    return _open(REFUSED, refusals)


def _accepted(part: Part, refusals: tuple[Refusal, ...], warning: str | None = None) -> Outcome:
    given = CallReceipt(warning=warning, from_repeat=part.in_doubt)
    return Partial(given, refusals) if refusals else Accepted(given)


def _open(reason: str, refusals: tuple[Refusal, ...]) -> Unknown:
    """Returns Unknown: it is not known who got it, so a person or the setting has to decide."""
    told = f"{reason}: {len(refusals)} named, the others unknown; {SETTING}"
    return Unknown(told, refusals, held=True)


def _left_out(part: Part) -> tuple[Refusal, ...]:
    """Returns recipients that an earlier answer named, so that this call was made without them."""
    gone = {str(one).lower() for one in part.spec.get(LEFT_OUT, ())}
    return tuple(
        Refusal(str(one), target.kind, FIELD)
        for target in TARGETS
        for one in part.spec.get(target.name, ())
        if str(one).lower() in gone
    )


def _is_everybody(part: Part, refusals: tuple[Refusal, ...]) -> bool:
    """Returns True if every recipient is refused. False for departments or everyone, which are not named."""
    spec = part.spec
    if spec.get("everyone") or spec.get("parties"):
        return False
    asked = {str(one).lower() for name in ("users", "emails") for one in spec.get(name, ())}
    return asked <= {one.recipient.lower() for one in refusals}
