"""A row of the catalogue as lines for people, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said
from worker.domain.outcome import Scope

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
_LABELS: Mapping[str, Said] = {
    "class": ("class", "类别"),
    "scope": ("scope", "范围"),
    "do": ("do", "处理"),
    "gettoken": ("from gettoken", "若来自 gettoken"),
}


def explained(code: int, row: Errcode, at_gettoken: Errcode | None, *, chinese: bool) -> list[str]:
    """Code and meaning, then class, scope and what to do."""
    said = int(chinese)
    lines = [
        f"{code}  {_meaning(row)[said]}",
        f"{_LABELS['class'][said]}: {_CLASSES[row.kind][said]}",
        f"{_LABELS['scope'][said]}: {_SCOPES[row.scope][said]}",
        f"{_LABELS['do'][said]}: {(row.what, row.what_zh)[said]}",
    ]
    if at_gettoken is not None:
        what = (at_gettoken.what, at_gettoken.what_zh)[said]
        lines.append(f"{_LABELS['gettoken'][said]}: {_meaning(at_gettoken)[said]}; {what}")
    return lines


def _meaning(row: Errcode) -> Said:
    return row.meaning, row.meaning_zh
