"""`worker doctor --online`: checks each account with the vendor, and its callback through the public address.

There is a finding each for token, app, trusted IP and callback. No message is sent and nothing changes at the vendor.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from uuid_utils import uuid7

from worker.accounts.sources import accounts_of
from worker.channels.online import OnlineCall, online_call, read_answer, verification
from worker.channels.registry import channel, split_usable
from worker.cli.setup.finding import Finding, Level
from worker.config.settings import Settings
from worker.control.opening import open_current_database
from worker.domain.account import DIRECT, Account, Egress, Token, TokenParked, TokenWait
from worker.domain.call import Access, FileBody, Reply, Request
from worker.domain.errors import ConfigurationError
from worker.hooks.verifiers import make_verifier
from worker.outbox.engine.counting import SEPARATOR, totals
from worker.outbox.engine.database import Database
from worker.outbox.jobs.inbound import inbound_page
from worker.transport.http import SocketTransport
from worker.transport.session import Web, WebError, reply_of
from worker.transport.tokens import JUST_REFUSED_S, Tokens

CALL_S = 10.0
PATIENCE_S = 10.0
"""Seconds to wait while another process fetches a token."""
TRUSTED = "trusted IP: the vendor accepts calls from this machine"


@dataclass(frozen=True, slots=True)
class OnlineTools:
    """The ways to the network and the clocks, which tests replace."""

    transport: SocketTransport = field(default_factory=SocketTransport)
    """Fetches tokens of vendors. Its connections are closed at the end."""
    web: Web = field(default_factory=Web)
    wall: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


def online_findings(settings: Settings, only: str | None = None, tools: OnlineTools | None = None) -> Iterator[Finding]:
    """Yields the findings about each account, or only one. `worker doctor` itself reports unusable accounts."""
    tools = tools or OnlineTools()
    accounts = accounts_of(settings)
    names = accounts.names() if only is None else (accounts.get(only).name,)
    try:
        with closing(tools.transport), open_current_database(settings) as database:
            delivery, process = settings.delivery, uuid7().hex
            tokens = Tokens(
                database, tools.transport, tools.web, settings=delivery, incarnation=lambda: process, accounts=accounts
            )
            for account in split_usable(accounts, names)[0].values():
                yield from _account_findings(account, tokens, tools)
                yield from _callback(database, settings, account, tools)
    except ConfigurationError as error:
        yield Finding("online", Level.PROBLEM, f"the vendor was not asked: {error}")


def _account_findings(account: Account, tokens: Tokens, tools: OnlineTools) -> Iterator[Finding]:
    what = f"online {account.name}"
    if account.staging.dry_run:
        yield Finding(what, Level.CAUTION, "not known: staging.dry_run keeps every call from the vendor")
    elif channel(account.channel).uses_token:
        yield from _by_token(what, account, tokens, tools)
    else:
        text = "not known: this vendor has no call that checks a secret without sending a message; try `worker send`"
        yield Finding(what, Level.CAUTION, text)


def _by_token(what: str, account: Account, tokens: Tokens, tools: OnlineTools) -> Iterator[Finding]:
    """Gets a token and makes a harmless call with it; once more with a new token if the vendor refuses the first."""
    call = online_call(account.channel)
    for is_last in (False, True):
        token = _token(account, tokens, tools)
        if not isinstance(token, Token):
            yield Finding(what, Level.PROBLEM, token)
            return
        if call is None:
            yield Finding(what, Level.OK, "has a token: id and secret match")
            return
        findings, is_stale = _call_vendor(what, account, call, token, tools)
        if is_stale and not is_last:
            tokens.invalidate(account, token)
            continue
        yield Finding(what, Level.OK, "has a token")
        yield from findings
        return


def _token(account: Account, tokens: Tokens, tools: OnlineTools) -> Token | str:
    """Returns the token, or a sentence with the reason and the remedy."""
    waited = 0.0
    while True:
        match tokens.get_current_or_previous(account, channel(account.channel))[0]:
            case Token() as token:
                return token
            case TokenParked() as parked:
                refusal = f"no token: {parked.reason}; {parked.remedy}"
                if parked.age_s < JUST_REFUSED_S:
                    return refusal
                # A second wrong try could lock the account out, so the vendor was not asked.
                return (
                    f"{refusal}; then `worker resume {account.name}`, and check again"
                    f" (the vendor refused it {parked.age_s:.0f} s ago and was not asked now)"
                )
            case TokenWait() as wait if waited >= PATIENCE_S or wait.remedy:
                return f"no token: {wait.reason}; {wait.remedy or 'try again later'}"
            case TokenWait() as wait:
                tools.pause(min(wait.delay, 1.0))
                waited += max(wait.delay, 0.1)


def _call_vendor(
    what: str, account: Account, call: OnlineCall, token: Token, tools: OnlineTools
) -> tuple[list[Finding], bool]:
    """Makes the call; returns the findings about app and trusted IP, and whether the vendor refused the token."""
    request = call.request(account, Access(token.value), int(tools.wall()))
    result = _call(tools.web, request, account.egress)
    if isinstance(result, WebError):
        reason, remedy = result.reason, result.remedy or "try again later"
        return [Finding(what, Level.PROBLEM, f"no answer: {reason}; {remedy}")], False
    answer = read_answer(call, account, result)
    if answer.is_about_address:
        return [Finding(what, Level.PROBLEM, f"trusted IP: {answer.text}")], False
    if not answer.is_ok:  # in which order the vendor checks is not known
        return [Finding(what, Level.PROBLEM, answer.text)], answer.is_stale_token
    return [Finding(what, Level.OK, TRUSTED), Finding(what, Level.OK, answer.text)], False


def _call(web: Web, request: Request, egress: Egress = DIRECT) -> Reply | WebError:
    """Makes one call. Follows no redirect, as neither calls of parts nor the vendor's callbacks do."""
    url, body = f"{request.base_url}{request.path}", request.body
    assert not isinstance(body, FileBody)
    headers = {"Content-Type": request.content_type} if body else {}
    try:
        with web.session(CALL_S, egress=egress) as session:
            answer = session.request(request.method, url, request.query, body, headers, allow_redirects=False)
            return reply_of(answer)
    except WebError as error:
        return error


def _callback(database: Database, settings: Settings, account: Account, tools: OnlineTools) -> Iterator[Finding]:
    """Checks that the account's receiver answers a verification, and accepts the vendor's own callbacks."""
    what, verifier = f"online {account.name}", make_verifier(account, max_age_s=0.0)
    if verifier is None:
        return
    if not settings.public_url:
        text = "callback not known: set public_url to the address under which the vendor reaches `worker receiver`"
        yield Finding(what, Level.CAUTION, text)
        return
    number = str(secrets.randbelow(10**16))
    query = verification(verifier, number, int(tools.wall()), secrets.token_hex(8), secrets.token_bytes(16))
    if query is None:
        yield Finding(what, Level.CAUTION, "callback not known: this vendor verifies no address")
        return
    path = f"/callback/{account.name}"
    address = f"{settings.public_url.rstrip('/')}{path}"
    result = _call(tools.web, Request("GET", settings.public_url.rstrip("/"), path, query))
    if isinstance(result, Reply) and (result.status, result.body) == (200, number.encode()):
        yield from _vendor_callbacks(database, what, address, account.name)
    else:
        yield Finding(what, Level.PROBLEM, f"callback: {address} {_verification_problem(result)}")


def _vendor_callbacks(database: Database, what: str, address: str, account: str) -> Iterator[Finding]:
    """Reports whether the receiver accepted the vendor's callbacks. The verification only proves our own token."""
    with database.reading() as connection:
        accepted = inbound_page(connection, account=account, event=None, before=None, limit=1).rows
        counts = totals(connection)
    refused = sum(counts[SEPARATOR.join(("callbacks_refused", account, status))] for status in ("400", "403"))
    if refused and not accepted:
        text = f"callback: none from the vendor was accepted, refused so far: {refused}"
        remedy = "give the vendor's page and these settings the same token and aes_key (EncodingAESKey)"
        yield Finding(what, Level.CAUTION, f"{text}; {remedy}")
    elif accepted:
        # What was refused once counts for ever, so it says nothing once a callback was accepted.
        text = f"callback: {address} answers with these settings, and callbacks of the vendor were accepted"
        yield Finding(what, Level.OK, text)
    else:
        text = (
            f"callback: {address} answers with these settings; the vendor's first callback will prove"
            " that it has the same"
        )
        yield Finding(what, Level.OK, text)


def _verification_problem(result: Reply | WebError) -> str:
    """Returns what is wrong with the answer to a verification, and the remedy."""
    if not isinstance(result, Reply):
        return f"does not answer ({result.reason}); start `worker receiver`, and let its proxy pass the path on"
    remedies = {
        403: "the receiver there has another token, aes_key (EncodingAESKey) or clock; give it these settings",
        404: "the receiver there does not have the account; let the proxy pass the path on unchanged",
    }
    remedy = remedies.get(result.status, "something else than `worker receiver` answers; correct public_url")
    return f"answers {result.status}: {remedy}"
