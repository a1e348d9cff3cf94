"""The accounts, their health, and the use of their limits over time. Shows no secret and no token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from worker.channels.registry import channel, split_usable
from worker.console.page import ConsoleRequest, NotFound, View
from worker.console.pages import seen
from worker.console.pages.lanes import TONES
from worker.console.viewer import may_read_texts
from worker.drawing import Lang
from worker.language import term, translate
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.tokens import TokenStatus, token_statuses
from worker.reporting.lane_list import LaneReport, lane_list
from worker.reporting.limit_usage import Usage, usages

ON_A_PAGE = 100
WORST = "worst"
"""The `order` of a list that begins with the accounts that stand worst."""
COLUMNS = 60
"""Bars on each side of now."""
HEIGHT = 100
"""The height of the tallest bar."""


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """One account in the list."""

    name: str
    channel: str | None
    """None: it cannot be used, so that is not known here."""
    standing: LaneReport | None
    """The worst of what stands on it and its lanes."""
    lanes: int
    """How many of its lanes something stands on."""
    is_unusable: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    x: int
    height: int
    units: int
    at: datetime
    """The beginning of its time."""
    is_ahead: bool
    """True for units that become free then; False for units that were taken then."""


def accounts(request: ConsoleRequest) -> View:
    """The list, by name or with the worst first, a page at a time."""
    site, wanted = request.site, request.query.get("name", "").strip()
    after, is_worst_first = request.query.get("after", ""), request.query.get("order") == WORST
    names = [name for name in site.accounts.names() if wanted in name]
    database = site.database
    with request.reading() as connection:
        standing = lane_list(connection, database.now)[1]
    by_account: dict[str, list[LaneReport]] = {}
    for one in standing:
        by_account.setdefault(one.account, []).append(seen.shown(request.viewer, one.account, one))

    def place(name: str) -> tuple[int, str]:
        return _rank(by_account.get(name, [])) if is_worst_first else 0, name

    shown = [name for name in sorted(names, key=place) if not after or place(name) > place(after)][: ON_A_PAGE + 1]
    lines = [_line(request, name, by_account.get(name, [])) for name in shown[:ON_A_PAGE]]
    return View.of(
        "accounts.html",
        request.term("accounts.title"),
        lines=lines,
        wanted=wanted,
        all=len(names),
        after=lines[-1].name if len(shown) > ON_A_PAGE else None,
        order=WORST if is_worst_first else None,
        tones=TONES,
    )


def account(request: ConsoleRequest) -> View:
    """One account: what stands on it, its tokens, its limits and their use."""
    site, name = request.site, request.path["name"]
    if name not in site.accounts.names():
        raise NotFound
    database = site.database
    good, wrong = split_usable(site.accounts, [name])
    known, unusable = good.get(name), wrong.get(name)
    reads = may_read_texts(request.viewer, name)
    recipient = request.query.get("recipient", "").strip() if reads else ""
    with request.reading() as connection:
        now = read_now(connection, database.now)
        pauses, lanes = lane_list(connection, database.now, account=name)
        tokens = token_statuses(connection, [name])
        limits = list[Usage]()
        if known is not None:
            own = [(channel(known.channel), known)]
            limits = usages(connection, database.now, own, recipient or None, count_waiting=True)[name]
    return View.of(
        "account.html",
        name,
        name=name,
        account=known,
        is_unusable=known is None,
        unusable=unusable if reads else None,
        pauses=[seen.pause(request.viewer, one) for one in pauses],
        lanes=[seen.shown(request.viewer, one.account, one) for one in lanes],
        tones=TONES,
        tokens=[(one, token_state(one, tokens, now)) for one in tokens],
        now=now,
        in_use=[(one, bars(one, now)) for one in limits if one.used or one.waiting],
        limits=limits,
        recipient=recipient,
        reads=reads,
        columns=COLUMNS,
        height=HEIGHT,
        phrase=partial(limit_phrase, request.viewer.lang),
        may_act=request.may_act(name),
    )


def token_state(token: TokenStatus, tokens: Iterable[TokenStatus], now: int) -> str:
    """Returns `valid`, `no_token`, `refused`, or `replaced`: refused once, while other credentials work by now."""
    if token.refused is None:
        return "valid" if _is_valid(token, now) else "no_token"
    return "replaced" if any(_is_valid(one, now) for one in tokens) else "refused"


def _is_valid(token: TokenStatus, now: int) -> bool:
    return token.refused is None and (token.expires_at or 0) > now


def _rank(standing: Iterable[LaneReport]) -> int:
    """The place of an account in a list with the worst first, by the worst of what stands on it."""
    return min((list(TONES).index(one.state) for one in standing), default=len(TONES))


def _line(request: ConsoleRequest, name: str, standing: list[LaneReport]) -> AccountHealth:
    known = split_usable(request.site.accounts, [name])[0].get(name)
    worst = min(standing, key=lambda one: list(TONES).index(one.state), default=None)
    return AccountHealth(name, None if known is None else known.channel, worst, len(standing), known is None)


def bars(usage: Usage, now: int) -> list[Bar]:
    """What of a limit was taken over its last window, and what of that becomes free over the next one."""
    window = usage.counted.limit.window_s * SECOND
    if not window or not usage.spans:
        return []
    found: dict[tuple[bool, int], int] = {}
    for since, units, until in usage.spans:
        for is_ahead, place in ((False, since - now + window), (True, until - now)):
            column = min(COLUMNS - 1, max(0, place * COLUMNS // window))
            found[is_ahead, column] = found.get((is_ahead, column), 0) + units
    tallest = max(found.values())
    return [
        Bar(
            column + (COLUMNS if is_ahead else 0),
            max(2, units * HEIGHT // tallest),
            units,
            instant(now + (0 if is_ahead else -window) + column * window // COLUMNS),
            is_ahead,
        )
        for (is_ahead, column), units in sorted(found.items())
    ]


def limit_phrase(lang: Lang, text: str) -> str:
    """What a limit says of itself: what it counts for, what the vendor does beyond it, and its source."""
    return term("source", translate(text, lang), lang)
