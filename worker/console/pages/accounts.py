"""The accounts, their health, and the use of their limits over time. Shows no secret and no token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from worker.channels.registry import channel, split_usable
from worker.console.page import ConsoleRequest, NotFound, View
from worker.console.pages import redaction
from worker.console.pages.lanes import TONES
from worker.console.viewer import may_read_names, may_read_texts
from worker.drawing import Lang
from worker.language import term, translate
from worker.outbox.engine.clock import SECOND, instant
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.tokens import TokenStatus, token_statuses
from worker.reporting.lane_list import LaneReport, lane_list
from worker.reporting.limit_usage import Usage, usages

ON_A_PAGE = 100
WORST = "worst"
"""The value of `order` for a list that begins with the unhealthiest accounts."""
COLUMNS = 60
"""Number of bars on each side of now."""
HEIGHT = 100
"""The height of the tallest bar."""


@dataclass(frozen=True, slots=True)
class AccountHealth:
    """One account in the list."""

    name: str
    channel: str | None
    """None if the account cannot be used, because then its channel is unknown here."""
    standing: LaneReport | None
    """The worst state of the account and its lanes; None if nothing is wrong."""
    lanes: int
    """How many of its lanes have such a state."""
    is_paused: bool
    """Whether a pause stops all of its jobs, or those of one kind."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    x: int
    height: int
    units: int
    at: datetime
    """When its interval begins."""
    is_ahead: bool
    """True for units that become free in this interval, False for units that were used in it."""


def accounts(request: ConsoleRequest) -> View:
    """Shows the list of accounts, page by page, by name or with the unhealthiest first."""
    site, search = request.site, request.query.get("name", "").strip()
    after, is_worst_first = request.query.get("page_after", ""), request.query.get("order") == WORST
    names = [name for name in site.accounts.names() if search in name]
    database = site.database
    with request.reading() as connection:
        pauses, standing = lane_list(connection, database.now)
    paused = {pause.account for pause in pauses if pause.covers_lanes()}
    by_account: dict[str, list[LaneReport]] = {}
    for report in standing:
        by_account.setdefault(report.account, []).append(redaction.redact(request.viewer, report.account, report))

    def sort_key(name: str) -> tuple[int, str]:
        return _rank(by_account.get(name, [])) if is_worst_first else 0, name

    matching = [name for name in sorted(names, key=sort_key) if not after or sort_key(name) > sort_key(after)][
        : ON_A_PAGE + 1
    ]
    lines = [
        _line(request, name, by_account.get(name, []), is_paused=not paused.isdisjoint((None, name)))
        for name in matching[:ON_A_PAGE]
    ]
    return View.of(
        "accounts.html",
        request.term("accounts.title"),
        lines=lines,
        search=search,
        all=len(names),
        page_after=lines[-1].name if len(matching) > ON_A_PAGE else None,
        order=WORST if is_worst_first else None,
        tones=TONES,
    )


def account(request: ConsoleRequest) -> View:
    """Shows one account: what is paused or blocked, its tokens, its limits and their use."""
    site, name = request.site, request.path["name"]
    if name not in site.accounts.names():
        raise NotFound
    database = site.database
    usable, unusable_accounts = split_usable(site.accounts, [name])
    account_settings, unusable = usable.get(name), unusable_accounts.get(name)
    reads, reads_names = may_read_texts(request.viewer, name), may_read_names(request.viewer, name)
    recipient = request.query.get("recipient", "").strip() if reads_names else ""
    with request.reading() as connection:
        now = read_now(connection, database.now)
        pauses, lanes = lane_list(connection, database.now, account=name)
        tokens = token_statuses(connection, [name])
        limits = list[Usage]()
        if account_settings is not None:
            usable_accounts = [(channel(account_settings.channel), account_settings)]
            limits = usages(connection, database.now, usable_accounts, recipient or None, count_waiting=True)[name]
    return View.of(
        "account.html",
        name,
        name=name,
        account=account_settings,
        is_unusable=account_settings is None,
        unusable=unusable if reads else None,
        pauses=[redaction.redact_pause(request.viewer, pause) for pause in pauses],
        lanes=[redaction.redact(request.viewer, lane.account, lane) for lane in lanes],
        tones=TONES,
        tokens=[(token, token_state(token, tokens, now)) for token in tokens],
        now=now,
        in_use=[(usage, bars(usage, now)) for usage in limits if usage.used or usage.waiting],
        limits=limits,
        recipient=recipient,
        reads=reads,
        reads_names=reads_names,
        columns=COLUMNS,
        height=HEIGHT,
        phrase=partial(limit_phrase, request.viewer.lang),
        may_act=request.may_act,
    )


def token_state(token: TokenStatus, tokens: Iterable[TokenStatus], now: int) -> str:
    """Returns `valid`, `no_token`, `refused`, or `replaced`: it was refused, but newer credentials work."""
    if token.refused is None:
        return "valid" if _is_valid(token, now) else "no_token"
    return "replaced" if any(_is_valid(other, now) for other in tokens) else "refused"


def _is_valid(token: TokenStatus, now: int) -> bool:
    return token.refused is None and (token.expires_at or 0) > now


def _rank(standing: Iterable[LaneReport]) -> int:
    """Returns the rank of an account in the list with the unhealthiest first: that of its worst lane."""
    return min((list(TONES).index(report.state) for report in standing), default=len(TONES))


def _line(request: ConsoleRequest, name: str, standing: list[LaneReport], *, is_paused: bool) -> AccountHealth:
    account_settings = split_usable(request.site.accounts, [name])[0].get(name)
    worst = min(standing, key=lambda report: list(TONES).index(report.state), default=None)
    channel_name = None if account_settings is None else account_settings.channel
    return AccountHealth(name, channel_name, worst, len(standing), is_paused)


def bars(usage: Usage, now: int) -> list[Bar]:
    """Returns the units of a limit that were used during its last window, and when these become free again."""
    window = usage.counted.limit.window_s * SECOND
    if not window or not usage.spans:
        return []
    columns: dict[tuple[bool, int], int] = {}
    for since, units, until in usage.spans:
        for is_ahead, place in ((False, since - now + window), (True, until - now)):
            column = min(COLUMNS - 1, max(0, place * COLUMNS // window))
            columns[is_ahead, column] = columns.get((is_ahead, column), 0) + units
    tallest = max(columns.values())
    return [
        Bar(
            column + (COLUMNS if is_ahead else 0),
            max(2, units * HEIGHT // tallest),
            units,
            instant(now + (0 if is_ahead else -window) + column * window // COLUMNS),
            is_ahead,
        )
        for (is_ahead, column), units in sorted(columns.items())
    ]


def limit_phrase(lang: Lang, text: str) -> str:
    """Returns a limit's subject, penalty or source in the language of the viewer."""
    return term("source", translate(text, lang), lang)
