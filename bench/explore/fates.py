"""The vendor's calls, and what may become of each."""

from __future__ import annotations

from enum import StrEnum

from bench.explore.campaigns import CANCEL, CREATE, LIST, MEMBERS, RESULTS

SEND, RECALL, GETTOKEN = "/cgi-bin/message/send", "/cgi-bin/message/recall", "/cgi-bin/gettoken"
UPDATE, UPLOAD = "/cgi-bin/message/update_template_card", "/cgi-bin/media/upload"
POST, WEBHOOK = "/cgi-bin/webhook/send", 10
"""The path and the account of a webhook, which has no agentid either."""
YOUDU_SEND, YOUDU_GETTOKEN = "/cgi/msg/send", "/cgi/gettoken"


class Fate(StrEnum):
    """What becomes of one call."""

    ANSWERED = "answered"
    SLOW = "answered after seconds"
    UNREACHABLE = "no connection"
    UNSENT = "not sent"
    LOST = "sent, and lost on its way"
    UNANSWERED = "arrived, and unanswered"
    CUT = "arrived, and its answer cut"
    BUSY = "answered -1"
    FREQUENT = "answered 45009"
    CONCURRENT = "answered 45033"
    CONFLICT = "answered 45035"
    STALE = "answered 42001"
    HTML = "answered 502 by a proxy"
    UNAVAILABLE = "answered 503 by a proxy"
    LATER = "answered 503 with Retry-After by a proxy"
    TOO_MANY = "answered 429 with Retry-After by a proxy"
    PORTAL = "answered 200 by a portal"
    MOVED = "answered 302 by a portal"
    REFUSED = "answered 40058"
    SPAM = "answered 40201"
    PARKED = "answered 60020"
    FORBIDDEN = "answered 43012"


WEIGHTS = {
    Fate.ANSWERED: 8,
    Fate.SLOW: 3,
    Fate.UNREACHABLE: 1,
    Fate.UNSENT: 2,
    Fate.LOST: 2,
    Fate.UNANSWERED: 4,
    Fate.CUT: 2,
    Fate.BUSY: 2,
    Fate.FREQUENT: 1,
    Fate.CONCURRENT: 1,
    Fate.CONFLICT: 1,
    Fate.STALE: 2,
    Fate.HTML: 1,
    Fate.UNAVAILABLE: 1,
    Fate.LATER: 1,
    Fate.TOO_MANY: 1,
    Fate.PORTAL: 1,
    Fate.MOVED: 1,
    Fate.REFUSED: 1,
    Fate.SPAM: 1,
    Fate.PARKED: 1,
    Fate.FORBIDDEN: 1,
}
"""While the vendor is ill, as long as a seed does not choose others."""
MOST_FREQUENT = 2
"""Calls of a kind that are answered 45009: a third would block a lane until midnight."""
BLOCKING = (Fate.FREQUENT, Fate.PARKED, Fate.FORBIDDEN)
CALLS = ("connect", "gettoken", "send", "recall", "update", "upload", "create", "cancel", "read", "post", "youdu")
NAMES = {
    GETTOKEN: "gettoken",
    SEND: "send",
    RECALL: "recall",
    UPDATE: "update",
    UPLOAD: "upload",
    CREATE: "create",
    CANCEL: "cancel",
    LIST: "read",
    MEMBERS: "read",
    RESULTS: "read",
    POST: "post",
    YOUDU_SEND: "youdu",
    YOUDU_GETTOKEN: "gettoken",
}
MESSAGES = (SEND, CREATE, POST, YOUDU_SEND)
"""The calls that send something to somebody."""
SELDOM = ("recall", "update", "upload", "create", "cancel", "read", "post", "youdu")
"""Calls of which there are few: these go wrong more often, and in every way."""
BETWEEN = {
    Fate.HTML: (502, ""),
    Fate.UNAVAILABLE: (503, ""),
    Fate.LATER: (503, "1"),
    Fate.TOO_MANY: (429, "2"),
    Fate.PORTAL: (200, ""),
    Fate.MOVED: (302, ""),
}
"""What something between worker and vendor answers, whether it has passed the call on or not: status, Retry-After."""
GETTOKEN_FATES = (
    Fate.SLOW,
    Fate.UNREACHABLE,
    Fate.UNSENT,
    Fate.LOST,
    Fate.UNANSWERED,
    Fate.CUT,
    Fate.BUSY,
    *BETWEEN,
)
UNSEEN = (Fate.FREQUENT, Fate.CONCURRENT, Fate.STALE, Fate.PARKED)
"""Refusals before the vendor looks at the message: a limit of calls, the token, the caller's address."""
YOUDU_ERRCODES = {
    Fate.BUSY: -1,
    Fate.STALE: 100002,
    Fate.REFUSED: 100003,
    Fate.PARKED: 100008,
    Fate.FORBIDDEN: 3,
}
"""Of a Youdu server, which has no limits."""
YOUDU_FATES = (*(fate for fate in GETTOKEN_FATES if fate is not Fate.BUSY), *YOUDU_ERRCODES)
CALL_PAIRS = (
    ("connect", Fate.UNREACHABLE),
    *(("gettoken", fate) for fate in GETTOKEN_FATES),
    *((call, fate) for call in CALLS[2:-1] for fate in WEIGHTS if fate is not Fate.ANSWERED),
    *(("youdu", fate) for fate in YOUDU_FATES),
)
"""What may become of which call."""
ERRCODES = {
    Fate.BUSY: -1,
    Fate.FREQUENT: 45009,
    Fate.CONCURRENT: 45033,
    Fate.CONFLICT: 45035,
    Fate.STALE: 42001,
    Fate.REFUSED: 40058,
    Fate.SPAM: 40201,
    Fate.PARKED: 60020,
    Fate.FORBIDDEN: 43012,
}
