"""What all WeCom answers have in common: codes as rows, a proxy's words, the facts of an answer that are kept.

`errcode` decides, not the HTTP status. Knows no kind of call; each channel's own `verdict.py` does.
"""

from __future__ import annotations

from dataclasses import replace

from worker.channels.wecom import errcodes, redact
from worker.channels.wecom.errcodes import Class, Errcode
from worker.channels.wecom.redact import remedy
from worker.channels.wecom.reply import Answer
from worker.channels.wecom.token import retry_after
from worker.domain.call import Reply
from worker.domain.job import Part
from worker.domain.outcome import (
    Outcome,
    Parked,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
    unheard_of,
)

WRONG_FORMAT = "wrong json format"


def verdict(part: Part, answer: Answer, outcome: Outcome) -> Verdict:
    """An outcome with the facts of the answer that may be kept."""
    if answer.errmsg == "ok" and not isinstance(outcome, Parked):
        return Verdict(outcome, answer.errcode, answer.errmsg)
    ip = redact.caller_ip(answer.errmsg)
    if isinstance(outcome, Parked):
        outcome = replace(outcome, remedy=remedy(outcome.remedy, answer.errcode, answer.errmsg))
    return Verdict(outcome, answer.errcode, redact.reason(answer.errmsg, part), redact.hint(answer.errmsg), ip)


def no_vendor(reply: Reply) -> Outcome:
    """What an answer of a proxy or gateway means: unknown, unless it asks to wait."""
    if reply.status in (429, 503) and (delay := retry_after(reply)):
        return Wait(Scope.LANE, delay, f"http_{reply.status} Retry-After")
    return Unknown("http_200 without the vendor's JSON" if reply.status == 200 else f"http_{reply.status}")


def by_code(code: int) -> Outcome:
    """What a code asks of the worker, whatever the call was."""
    row = errcodes.find(code)
    return unheard_of(code) if row is None else by_class(row, code)


def by_class(row: Errcode, code: int) -> Outcome:
    """What a code's row asks of the worker."""
    reason = f"{code} {row.meaning}"
    match row.kind:
        case Class.RETRY if row.penalty is not None:
            return Wait(row.scope, row.delay, reason, row.penalty)  # its lane was at fault, not this call
        case Class.RETRY:
            return Retry(reason, busy=code == -1)
        case Class.TOKEN:
            return StaleToken(reason)
        case Class.DEFER:
            return Wait(row.scope, row.delay, reason, row.penalty)
        case Class.CONFIG:
            return Parked(row.scope, reason, row.what)
        case Class.PERMANENT:
            return Rejected(reason)


def warns(answer: Answer) -> list[str]:
    """The vendor's own alarm, which can stand beside errcode 0 (page 90313)."""
    return ["the vendor warns of a wrong JSON format"] if WRONG_FORMAT in answer.errmsg.lower() else []
