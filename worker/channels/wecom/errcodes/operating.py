"""Codes that are not about the message: transient ones, tokens, frequency, and what an operator must correct."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, coded
from worker.domain.outcome import Penalty, Scope

Rows = Mapping[int, tuple[str, str]]

_AGAIN = "again"
_RETRY: Rows = {
    -1: ("the vendor is busy", "again, at most three times"),
    6000: ("data version conflict", _AGAIN),
    81026: ("feature under maintenance", "again in some minutes"),
    830003: ("download failed", _AGAIN),
}
_CONFLICT: Rows = {45035: ("concurrent change conflict", "again, one at a time")}
_TOKEN: Rows = {
    40001: (
        "bad credential",
        "fetch a token; refused again, check the secret",
    ),
    40014: (
        "bad access_token",
        "fetch a token; refused again, check the app",
    ),
    40082: (
        "bad suite_access_token",
        "fetch a suite_access_token",
    ),
    41001: ("access_token missing", "fetch a token"),
    42001: ("access_token expired", "fetch a token"),
}
_PARTNER = "check the third-party authorisation"
_LICENCE = "buy or renew the licence"
_ACCOUNT: Rows = {
    40013: ("bad corpid", "correct corpid"),
    40056: ("bad agentid", "correct agentid"),
    40080: ("bad suite_secret", "correct the suite's secret"),
    40083: ("bad suite_id", "correct suite_id"),
    40084: (
        "bad permanent code, or the corp has withdrawn its authorisation",
        "let the corp authorise the app again; a configured code must be of this suite",
    ),
    40085: (
        "bad suite_ticket",
        "refresh the ticket in the provider's console (刷新Ticket)",
    ),
    40091: (
        "the secret belongs to another corp or app",
        "correct the secret",
    ),
    41002: ("corpid missing", "set corpid"),
    41004: ("secret missing", "set the secret"),
    43009: ("the corp is not verified", "verify the corp with the vendor"),
    45031: (
        "the secret is considered unsafe",
        "reset the secret in the admin console and configure the new one",
    ),
    48003: ("bad suite id", _PARTNER),
    48004: ("bad suite authorisation", _PARTNER),
    48010: ("TLS version not supported", "use a newer TLS library"),
    50003: ("the app is disabled", "enable the app in the admin console"),
    60020: (
        "the caller's IP is not trusted",
        "add the IP to the app's trusted IPs; it acts after a minute",
    ),
    301002: (
        "the token may not act for this agentid",
        "use the agentid of the app the secret belongs to",
    ),
    301007: ("the corp is dissolved or banned", "ask the vendor"),
    301042: (
        "the IP is not on the whitelist",
        "add the IP to the whitelist",
    ),
    701008: ("no valid interface licence", _LICENCE),
    701099: ("no valid interface licence", _LICENCE),
    2000002: ("the corpid does not exist", "correct corpid"),
}
_LANE: Rows = {
    43012: (
        "the app has no callback URL",
        "configure a callback URL for the app",
    ),
    48001: ("feature not authorised", "authorise it in the admin console"),
    48002: (
        "the app may not call this API",
        "use an app that may; of a third-party app, let its suite ask for the permission and the corp grant it",
    ),
    48005: ("the API is retired", "use its successor"),
    48006: ("permission withdrawn after long disuse", "grant it again"),
    60011: (
        "no permission on a member, department or tag",
        "widen the app's visible range",
    ),
    60031: ("the app is barred from this API", "ask the vendor"),
    90206: (
        "the mini program is not linked to the app",
        "link it in the admin console",
    ),
    90208: (
        "the mini program's appid does not match the app",
        "use the linked mini program",
    ),
    92002: ("cross-corp call", "use objects of this corp"),
    92003: ("cross-app call", "use objects of this app"),
}
# One chat: the call is rejected, and other chats go on (see `verdict.py`).
_ONE_CHAT: Rows = {
    86008: (
        "the chat belongs to another app",
        "use the app that made it; only this call is rejected",
    ),
}
_FREQUENCY: Rows = {
    45009: (
        "frequency limit",
        "wait: a minute, then an hour, then until midnight in Beijing",
    )
}
_PARALLEL: Rows = {
    45033: (
        "too many concurrent calls",
        "wait a little and call less in parallel",
    )
}
_ABNORMAL: Rows = {
    45036: (
        "data access restricted after abnormal traffic",
        "find out what called so much",
    )
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.RETRY, _RETRY),
    *coded(Class.TOKEN, _TOKEN),
    *coded(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
    *coded(Class.CONFIG, _ONE_CHAT),
    *coded(Class.DEFER, _FREQUENCY, Scope.LANE, delay=60.0, penalty=Penalty.FREQUENCY),
    *coded(Class.DEFER, _PARALLEL, Scope.LANE, delay=2.0, penalty=Penalty.PARALLEL),
    *coded(Class.RETRY, _CONFLICT, Scope.LANE, delay=2.0, penalty=Penalty.SERIAL),
    *coded(Class.DEFER, _ABNORMAL, Scope.LANE, delay=60.0, penalty=Penalty.ALARM),
)
