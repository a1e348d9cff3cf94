"""What one error code says, in English and Chinese, as data and as lines for people. Knows no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.domain.outcome import Penalty, Scope


class Class(StrEnum):
    """What a code asks of the worker."""

    RETRY = "retry"
    """Transient: repeat it; it counts as an attempt."""
    TOKEN = "token"
    """The token is bad: fetch another."""
    DEFER = "defer"
    """Too early: wait; it counts as no attempt."""
    PERMANENT = "permanent"
    """This request can never pass as it is."""
    CONFIG = "config"
    """An operator must act; the scope is parked."""


Said = tuple[str, str]
"""The same in English and in Chinese."""


@dataclass(frozen=True, slots=True)
class Errcode:
    """One code, or a run of codes up to `last`, of one meaning."""

    code: int
    meaning: str
    kind: Class
    what: str = "correct the message"
    """What to do; the remedy an operator or a caller reads."""
    scope: Scope = Scope.PART
    delay: float = 0.0
    """Seconds to wait, for DEFER."""
    last: int | None = None
    meaning_zh: str = ""
    what_zh: str = ""
    penalty: Penalty | None = None
    """What the code does to the part's lane, for DEFER."""
    lasting: bool = False
    """The code depends only on the message and its recipients: an earlier call with the same of both met it too.
    Never set where time (a file, a chat), a limit or the vendor's judgement (spam) has a part in it."""


def coded(
    kind: Class,
    rows: Mapping[int, tuple[Said, Said]],
    scope: Scope = Scope.PART,
    delay: float = 0.0,
    penalty: Penalty | None = None,
) -> Iterator[Errcode]:
    """The rows of one class, each with its own remedy."""
    for code, ((meaning, meaning_zh), (what, what_zh)) in rows.items():
        yield Errcode(code, meaning, kind, what, scope, delay, None, meaning_zh, what_zh, penalty)


def refused(rows: Mapping[int, Said], what: Said, *, lasting: bool = False) -> Iterator[Errcode]:
    """Permanent rows that share a remedy."""
    for row in coded(Class.PERMANENT, {code: (meaning, what) for code, meaning in rows.items()}):
        yield replace(row, lasting=lasting)


def run(
    first: int, last: int, meaning: Said, what: Said, kind: Class = Class.PERMANENT, scope: Scope = Scope.PART
) -> Errcode:
    """A run of codes of one meaning."""
    return Errcode(first, meaning[0], kind, what[0], scope, 0.0, last, meaning[1], what[1])


_CLASSES: Mapping[Class, Said] = {
    Class.RETRY: ("retry: tried again by itself, as an attempt", "retry：自动重试，计入尝试次数"),
    Class.TOKEN: ("token: another token is fetched, no attempt", "token：自动换取新的 access_token，不计入尝试次数"),
    Class.DEFER: ("defer: waits by itself, no attempt", "defer：自动等待，不计入尝试次数"),
    Class.PERMANENT: ("permanent: the call is rejected and not repeated", "permanent：拒绝，不再重试"),
    Class.CONFIG: ("config: parked until an operator acts", "config：暂停，等待管理员处理"),
}
_SCOPES: Mapping[Scope, Said] = {
    Scope.PART: ("this call alone", "仅本次调用"),
    Scope.LANE: ("the account's calls of this kind and type", "该账号同类调用"),
    Scope.ACCOUNT: ("the whole account", "整个账号"),
}
_LABELS = (("class", "scope", "do", "from gettoken"), ("类别", "范围", "处理", "若来自 gettoken"))


def explained(code: int, row: Errcode, at_gettoken: Errcode | None, *, chinese: bool) -> list[str]:
    """Code and meaning, then class, scope and what to do."""
    said, colon = int(chinese), "：" if chinese else ": "
    kind, scope, do, from_gettoken = _LABELS[said]
    meaning, what = _told(row)[said]
    lines = [
        f"{code}  {meaning}",
        f"{kind}{colon}{_CLASSES[row.kind][said]}",
        f"{scope}{colon}{_SCOPES[row.scope][said]}",
        f"{do}{colon}{what}",
    ]
    if at_gettoken is not None:
        lines.append(f"{from_gettoken}{colon}{'; '.join(_told(at_gettoken)[said])}")
    return lines


def _told(row: Errcode) -> tuple[Said, Said]:
    return (row.meaning, row.what), (row.meaning_zh, row.what_zh)
