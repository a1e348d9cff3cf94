"""What an answer says about the recipients of a call.

The documentation leaves open what a server does with accounts it does not know. The account's `invalid_users` says what
this server was seen to do; by default nothing is assumed.

| answer | strict | partial | partial-error | unknown |
|---|---|---|---|---|
| errcode 0, names | open | taken by the others | taken by the others | open |
| 200007, names | called again without the named: none got it | open | taken by the others | open |
| 200007, no name | refused for all | open | open | open |

"Open": the named are refused, of the others nothing is known, and nothing is repeated by itself. Where all are named,
or a 200007 answers a call for one recipient, it is refused whatever the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.channels.youdu.account import InvalidUsers, invalid_users
from worker.channels.youdu.answers.naming import FIELD, Named, named
from worker.channels.youdu.targets import LEFT_OUT, TARGETS, addressed
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Outcome, Partial, Progress, Refusal, Rejected, Taken, Unknown

FINE = ("", "ok")
ODD = "errcode 0 with another errmsg than ok"
REFUSED = "200007 invalid toUser"
SETTING = "set invalid_users to what this server does"


def taken(part: Part, account: Account, errmsg: str) -> Outcome:
    """Errcode 0: every recipient has it, unless errmsg says otherwise."""
    before = _left_out(part)
    if errmsg.strip().lower() in FINE:
        return _taken(part, before)
    found, mode = named(part, errmsg), invalid_users(account)
    if not found.refusals and not found.doubtful:
        return _taken(part, before, f"{ODD}: somebody should look")
    refusals = (*before, *found.refusals)
    if _is_everybody(part, refusals):
        return Rejected(f"{ODD}: it names every recipient", refusals)
    if mode in (InvalidUsers.PARTIAL, InvalidUsers.PARTIAL_ERROR) and not found.doubtful:
        return _taken(part, refusals)
    return _open(ODD, refusals)


def refused(part: Part, account: Account, errmsg: str) -> Outcome:
    """200007: some or all of those asked for are unknown to the server."""
    found, before = named(part, errmsg), _left_out(part)
    refusals = (*before, *found.refusals)
    alone = _only_one(part)
    if alone is not None:
        return Rejected(REFUSED, (*before, alone))
    if _is_everybody(part, refusals):
        return Rejected(REFUSED, refusals)
    return _BY_MODE[invalid_users(account)](part, before, found)


def _strict(part: Part, before: tuple[Refusal, ...], found: Named) -> Outcome:
    """No recipient got it, so the call can be made for the others at once.

    Each round leaves out more recipients, because only those a call was made for are looked for in its answer; so it
    ends.
    """
    refusals = (*before, *found.refusals)
    if not found.refusals:
        return Rejected(REFUSED, before)
    spec = {**part.spec, LEFT_OUT: [one.recipient for one in refusals]}
    return Progress(spec, f"{REFUSED}: again without the {len(refusals)} named")


def _others_have_it(part: Part, before: tuple[Refusal, ...], found: Named) -> Outcome:
    if found.doubtful or not found.refusals:
        return _open(REFUSED, (*before, *found.refusals))
    return Partial(Taken(from_repeat=part.in_doubt), (*before, *found.refusals))


def _nobody_knows(part: Part, before: tuple[Refusal, ...], found: Named) -> Outcome:
    return _open(REFUSED, (*before, *found.refusals))


_BY_MODE: Mapping[InvalidUsers, Callable[[Part, tuple[Refusal, ...], Named], Outcome]] = {
    InvalidUsers.STRICT: _strict,
    InvalidUsers.PARTIAL: _nobody_knows,
    InvalidUsers.PARTIAL_ERROR: _others_have_it,
    InvalidUsers.UNKNOWN: _nobody_knows,
}


def _taken(part: Part, refusals: tuple[Refusal, ...], warning: str | None = None) -> Outcome:
    given = Taken(warning=warning, from_repeat=part.in_doubt)
    return Partial(given, refusals) if refusals else Accepted(given)


def _open(reason: str, refusals: tuple[Refusal, ...]) -> Unknown:
    """Answered, but it is not known who got it: a person decides, or the setting."""
    told = f"{reason}: {len(refusals)} named, the others undetermined; {SETTING}"
    return Unknown(told, refusals, held=True)


def _left_out(part: Part) -> tuple[Refusal, ...]:
    """Recipients whom an earlier answer named, so that this call was made without them."""
    gone = {str(one).lower() for one in part.spec.get(LEFT_OUT, ())}
    return tuple(
        Refusal(str(one), target.kind, FIELD)
        for target in TARGETS
        for one in part.spec.get(target.name, ())
        if str(one).lower() in gone
    )


def _only_one(part: Part) -> Refusal | None:
    """The one account this call was for, where it was for no other: a 200007 can only mean that one."""
    lists = addressed(part)
    others = lists["parties"] or lists["emails"] or part.spec.get("everyone")
    return Refusal(lists["users"][0], "user", FIELD) if len(lists["users"]) == 1 and not others else None


def _is_everybody(part: Part, refusals: tuple[Refusal, ...]) -> bool:
    """Whether every recipient is refused; never where the part is for departments or everyone, which are not named."""
    spec = part.spec
    if spec.get("everyone") or spec.get("parties"):
        return False
    asked = {str(one).lower() for name in ("users", "emails") for one in spec.get(name, ())}
    return asked <= {one.recipient.lower() for one in refusals}
