"""Tokens on real databases with a scripted vendor: one fetch, the right wait, the right end of knocking."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from itertools import count, pairwise
from typing import Any, cast

import pytest
from sqlalchemy import text

from tests.support.noise import plain
from tests.support.reads import statements
from tests.support.scripted_transport import ScriptedTransport, answered
from tests.support.scripted_web import ScriptedWeb
from worker.channels.base import Channel, TokenGranted, TokenLater, TokenOutcome, TokenRefused
from worker.config.settings import DeliverySettings
from worker.domain.account import Account, Secret, Token, TokenParked, TokenState, TokenWait
from worker.domain.call import CallResult, NoAnswer, NotSent, Reply, Request
from worker.domain.errors import ConfigurationError
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes import tokens as token_rows
from worker.transport.tokens import Tokens, TokenTimes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

LIFE = 7_200
SPARE = 30


class TokenChannel:
    """The token half of a channel, without a vendor's quirks."""

    name = "scripted"

    def token_steps(self, account: Account) -> None:
        return None

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        return Request("GET", account.base_url, "/gettoken", {"corpid": "ww1", "corpsecret": secret})

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        said = json.loads(reply.body)
        if "token" in said:
            return TokenGranted(said["token"], said.get("life", LIFE))
        if "later" in said:
            return TokenLater("45009: blocked", said["later"])
        return TokenRefused("40001: invalid credential", "check accounts.hr.secret", 40001)


CHANNEL = cast(Channel, TokenChannel())


def account(secret: str = "s3cret", name: str = "hr") -> Account:
    return Account(name, "scripted", "http://vendor", secret=Secret(lambda: secret))


HR = account()


def grant(token: str, lease: int = LIFE) -> CallResult:
    return answered(json.dumps({"token": token, "life": lease}).encode())


def refuse() -> CallResult:
    return answered(b"{}")


def later(seconds: float) -> CallResult:
    return answered(json.dumps({"later": seconds}).encode())


@dataclass
class Vendor:
    """A vendor whose answers are made one after another, and the processes that ask it."""

    database: Database
    clock: DrivenClock
    answers: Callable[[Request], CallResult] | Iterable[CallResult]
    times: TokenTimes = field(default_factory=lambda: TokenTimes(patience_s=0.2))
    settings: DeliverySettings = field(default_factory=DeliverySettings)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = ScriptedTransport(self.answers)
        self.web = ScriptedWeb(carrier=self.transport)
        self.names = count(1)

    def process(
        self, transport: ScriptedTransport | None = None, incarnation: Callable[[], str] | None = None
    ) -> Tokens:
        """Another process on the same rows."""
        name = f"p{next(self.names)}"
        return Tokens(
            self.database,
            transport or self.transport,
            self.web,
            settings=self.settings,
            incarnation=incarnation or (lambda: name),
            monotonic=lambda: self.clock.micros / 1e6,
            rng=random.Random(1),
            entropy=random.Random(2).randbytes,
            pause=self.pauses.append,
            times=self.times,
        )

    @property
    def fetches(self) -> int:
        return len(self.transport.calls)


def numbered() -> Callable[[Request], CallResult]:
    """A new token at every call: tok1, tok2, ..."""
    numbers = count(1)
    return lambda _request: grant(f"tok{next(numbers)}")


def told(access: TokenState) -> tuple[Any, ...]:
    """Its fields, the reason as people read it."""
    return tuple(plain(each) for each in astuple(access))


def value(access: object) -> str:
    assert isinstance(access, Token), access
    return access.value


def generation(access: object) -> int:
    assert isinstance(access, Token), access
    return access.generation


def row(database: Database) -> dict[str, Any]:
    with database.reading() as connection:
        return dict(connection.execute(text("select * from worker_tokens")).mappings().one())


@pytest.mark.every_database
def test_one_fetch_serves_every_process(database: Database, driven_clock: DrivenClock) -> None:
    """The first caller fetches; every other process reads the row, and memory after that."""
    vendor = Vendor(database, driven_clock, numbered())
    first, second = vendor.process(), vendor.process()

    values = [value(process.get_or_fetch(HR, CHANNEL)) for process in (first, second, first, second)]

    assert values == ["tok1"] * 4
    assert vendor.fetches == 1
    assert vendor.transport.calls[0].deadline_s == 10.0
    assert vendor.transport.open == 0


@pytest.mark.own_engine
def test_the_hot_path_costs_no_sql(database: Database, driven_clock: DrivenClock) -> None:
    """While a token lives, get is a look into memory: no statement, no reading of the secret."""
    process = Vendor(database, driven_clock, numbered()).process()
    process.get_or_fetch(HR, CHANNEL)

    driven_clock.advance(LIFE - SPARE - 301)

    with statements(database) as sent:
        assert value(process.get_or_fetch(HR, CHANNEL)) == "tok1"
        assert value(process.get_or_fetch(account(), CHANNEL)) == "tok1", "an equal account object made anew"
    assert sent == []


def test_neither_row_nor_repr_shows_token_or_secret(database: Database, driven_clock: DrivenClock) -> None:
    """What is stored is sealed and hashed; what is printed holds neither."""
    process = Vendor(database, driven_clock, numbered()).process()

    token = process.get_or_fetch(HR, CHANNEL)

    shown = repr(token) + repr(row(database)) + repr(vars(process))
    assert "tok1" not in shown
    assert "s3cret" not in shown


def test_a_refresh_ahead_by_one_while_the_others_go_on(database: Database, driven_clock: DrivenClock) -> None:
    """Five minutes before the end one caller fetches; callers meanwhile, here and elsewhere, keep the old token."""
    seen: list[str] = []
    numbers = count(1)

    def answer(_request: Request) -> CallResult:
        n = next(numbers)
        if n == 2:
            seen.append(value(second.get_or_fetch(HR, CHANNEL)))
            with ThreadPoolExecutor(1) as pool:
                seen.append(value(pool.submit(first.get_or_fetch, HR, CHANNEL).result(120)))
        return grant(f"tok{n}")

    vendor = Vendor(database, driven_clock, answer)
    first, second = vendor.process(), vendor.process()
    first.get_or_fetch(HR, CHANNEL)
    second.get_or_fetch(HR, CHANNEL)
    driven_clock.advance(LIFE - SPARE - 299)

    refreshed = first.get_or_fetch(HR, CHANNEL)
    driven_clock.advance(2)

    assert seen == ["tok1", "tok1"]
    assert (value(refreshed), generation(refreshed)) == ("tok2", 2)
    assert value(second.get_or_fetch(HR, CHANNEL)) == "tok2"
    assert vendor.fetches == 2


def test_a_failed_refresh_goes_on_with_the_old_token(database: Database, driven_clock: DrivenClock) -> None:
    """While the old token lives nobody waits and nobody is parked, whatever the vendor says to the refresh."""
    vendor = Vendor(database, driven_clock, [grant("tok1"), later(20), refuse(), grant("tok2")])
    process = vendor.process()
    process.get_or_fetch(HR, CHANNEL)

    driven_clock.advance(LIFE - SPARE - 299)
    during_pause = [value(process.get_or_fetch(HR, CHANNEL)) for _ in range(3)]
    driven_clock.advance(21)
    refused = [value(process.get_or_fetch(HR, CHANNEL)), value(vendor.process().get_or_fetch(HR, CHANNEL))]
    driven_clock.advance(280)
    parked = process.get_or_fetch(HR, CHANNEL)

    assert during_pause + refused == ["tok1"] * 5
    assert isinstance(parked, TokenParked)
    assert vendor.fetches == 3
    assert parked.probe_in_s == pytest.approx(320)


def test_a_short_life_is_refreshed_in_its_last_quarter(database: Database, driven_clock: DrivenClock) -> None:
    """A token of 100 s is kept for 95, and refreshed in the last quarter of them, not at once."""
    numbers = count(1)
    vendor = Vendor(database, driven_clock, lambda _r: grant(f"tok{next(numbers)}", 100))
    process = vendor.process()

    first = value(process.get_or_fetch(HR, CHANNEL))
    driven_clock.advance(71)
    early = value(process.get_or_fetch(HR, CHANNEL))
    driven_clock.advance(1)
    late = value(process.get_or_fetch(HR, CHANNEL))

    assert (first, early, late) == ("tok1", "tok1", "tok2")


@pytest.mark.every_database
def test_an_expired_token_is_fetched_once_by_threads(database: Database, driven_clock: DrivenClock) -> None:
    """Eight threads that meet an expired token make one fetch."""
    gate = threading.Barrier(8)
    vendor = Vendor(database, driven_clock, numbered(), TokenTimes(patience_s=10))
    process = vendor.process()
    process.get_or_fetch(HR, CHANNEL)
    driven_clock.advance(LIFE)

    def sender(_n: int) -> str:
        gate.wait(120)
        return value(process.get_or_fetch(HR, CHANNEL))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(sender, range(8))) == ["tok2"] * 8
    assert vendor.fetches == 2


def test_waiting_for_another_fetch_has_an_end(database: Database, driven_clock: DrivenClock) -> None:
    """While somebody else fetches, callers look again for a while and are then told when to come back."""
    waits: list[object] = []

    def answer(_request: Request) -> CallResult:
        waits.append(second.get_or_fetch(HR, CHANNEL))
        with ThreadPoolExecutor(1) as pool:
            waits.append(pool.submit(first.get_or_fetch, HR, CHANNEL).result(120))
        return grant("tok1")

    vendor = Vendor(database, driven_clock, answer)
    first, second = vendor.process(), vendor.process()

    first.get_or_fetch(HR, CHANNEL)

    assert all(isinstance(wait, TokenWait) and 0.5 <= wait.delay <= 1.5 for wait in waits)
    assert vendor.pauses == [0.1, 0.1]
    assert vendor.fetches == 1


def test_a_dead_fetcher_is_followed_after_its_lease(database: Database, driven_clock: DrivenClock) -> None:
    """A process that dies during its fetch holds the others up for the lease, no longer."""

    def dies(_request: Request) -> CallResult:
        raise RuntimeError("killed")

    vendor = Vendor(database, driven_clock, numbered())
    with pytest.raises(RuntimeError):
        vendor.process(ScriptedTransport(dies)).get_or_fetch(HR, CHANNEL)

    early = vendor.process().get_or_fetch(HR, CHANNEL)
    driven_clock.advance(15)

    assert isinstance(early, TokenWait)
    assert value(vendor.process().get_or_fetch(HR, CHANNEL)) == "tok1"


@pytest.mark.every_database
@pytest.mark.parametrize("answer", [grant("late"), refuse(), later(100)])
def test_a_fetch_that_outlived_its_lease_changes_nothing(
    database: Database, driven_clock: DrivenClock, answer: CallResult
) -> None:
    """A stopped process that comes back with an answer finds its lease taken and takes the newer token instead."""

    def slow(_request: Request) -> CallResult:
        driven_clock.advance(16)
        assert value(other.get_or_fetch(HR, CHANNEL)) == "tok1"
        return answer

    vendor = Vendor(database, driven_clock, numbered())
    other, stopped = vendor.process(), vendor.process(ScriptedTransport(slow))

    access = stopped.get_or_fetch(HR, CHANNEL)

    if isinstance(access, TokenWait):  # it was told to wait, and that is all that happened
        access = stopped.get_or_fetch(HR, CHANNEL)
    assert (value(access), generation(access)) == ("tok1", 1)
    assert row(database)["refused"] is None
    assert row(database)["lease_until"] is None


@pytest.mark.every_database
def test_a_refused_token_is_replaced_once(database: Database, driven_clock: DrivenClock) -> None:
    """Every process reports the same refused token, some of them late: one fetch, and the new token stays."""
    vendor = Vendor(database, driven_clock, numbered())
    first, second = vendor.process(), vendor.process()
    old, same = first.get_or_fetch(HR, CHANNEL), second.get_or_fetch(HR, CHANNEL)
    assert isinstance(old, Token)
    assert isinstance(same, Token)

    first.invalidate(HR, old)
    first.invalidate(HR, old)
    new = first.get_or_fetch(HR, CHANNEL)
    first.invalidate(HR, old)
    second.invalidate(HR, same)

    assert value(new) == "tok2"
    assert value(second.get_or_fetch(HR, CHANNEL)) == "tok2"
    assert value(first.get_or_fetch(HR, CHANNEL)) == "tok2"
    assert vendor.fetches == 2


def test_the_same_token_again_ends_in_one_clear_message(database: Database, driven_clock: DrivenClock) -> None:
    """A vendor that gives out the token it refuses is asked twice, then once in ten minutes, by one process."""
    vendor = Vendor(database, driven_clock, lambda _request: grant("same"))
    first, second = vendor.process(), vendor.process()
    old = first.get_or_fetch(HR, CHANNEL)
    assert isinstance(old, Token)

    first.invalidate(HR, old)
    again = first.get_or_fetch(HR, CHANNEL)
    assert isinstance(again, Token)
    first.invalidate(HR, again)
    parked = [first.get_or_fetch(HR, CHANNEL), second.get_or_fetch(HR, CHANNEL), first.get_or_fetch(HR, CHANNEL)]
    before_probe = vendor.fetches
    driven_clock.advance(600)
    probed = [first.get_or_fetch(HR, CHANNEL), second.get_or_fetch(HR, CHANNEL)]

    assert (again.value, again.generation) == ("same", 2)
    for access in parked:
        assert isinstance(access, TokenParked)
        assert (
            plain(access.reason),
            access.probe_in_s,
        ) == ("the vendor refuses the token it has just given out", 600.0)
        assert "secret" in access.remedy
    assert before_probe == 2
    assert [generation(access) for access in probed] == [3, 3]
    assert vendor.fetches == 3


def test_a_probe_refused_again_parks_again(database: Database, driven_clock: DrivenClock) -> None:
    """The token of a probe is on probation too: refused, it parks at once."""
    vendor = Vendor(database, driven_clock, numbered())
    process = vendor.process()
    for _ in range(2):
        access = process.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, Token)
        process.invalidate(HR, access)
    driven_clock.advance(600)
    probe = process.get_or_fetch(HR, CHANNEL)
    assert isinstance(probe, Token)

    process.invalidate(HR, probe)

    assert isinstance(process.get_or_fetch(HR, CHANNEL), TokenParked)
    assert vendor.fetches == 3


@pytest.mark.every_database
def test_a_success_ends_the_probation_for_every_process(database: Database, driven_clock: DrivenClock) -> None:
    """One process has a call accepted, another hears the refusal: that token worked, and is replaced."""
    vendor = Vendor(database, driven_clock, numbered())
    first, second = vendor.process(), vendor.process()
    for expected in ("tok1", "tok2", "tok3"):
        access, same = first.get_or_fetch(HR, CHANNEL), second.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, Token)
        assert access == same
        assert expected == access.value
        first.record_success(HR, access)
        for process in (second, first):
            process.invalidate(HR, access)

    assert value(second.get_or_fetch(HR, CHANNEL)) == "tok4"


@pytest.mark.own_engine
def test_a_success_is_written_once_and_only_on_probation(database: Database, driven_clock: DrivenClock) -> None:
    """A send costs no statement for it."""
    vendor = Vendor(database, driven_clock, numbered())
    process = vendor.process()
    written = []
    for _ in range(2):
        access = process.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, Token)
        with statements(database) as sent:
            for _ in range(3):
                process.record_success(HR, access)
        written.append([statement.split()[0] for statement in sent if "worker_tokens" in statement])
        process.invalidate(HR, access)

    assert written == [[], ["update"]]


def test_a_late_success_with_an_older_token_ends_no_probation(database: Database, driven_clock: DrivenClock) -> None:
    """It proves nothing of the token that replaced it: refused, that one parks."""
    vendor = Vendor(database, driven_clock, numbered())
    process = vendor.process()
    old = process.get_or_fetch(HR, CHANNEL)
    assert isinstance(old, Token)
    process.invalidate(HR, old)
    new = process.get_or_fetch(HR, CHANNEL)
    assert isinstance(new, Token)

    process.record_success(HR, old)
    process.invalidate(HR, new)

    assert isinstance(process.get_or_fetch(HR, CHANNEL), TokenParked)


def test_probation_ends(database: Database, driven_clock: DrivenClock) -> None:
    """Two refusals with ten good minutes between them are two early ends of a token, not a wrong account."""
    vendor = Vendor(database, driven_clock, numbered())
    process = vendor.process()
    for expected in ("tok1", "tok2", "tok3"):
        access = process.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, Token)
        assert expected == access.value
        driven_clock.advance(601)
        process.invalidate(HR, access)

    assert value(process.get_or_fetch(HR, CHANNEL)) == "tok4"


@pytest.mark.every_database
def test_refused_credentials_park_and_are_probed_by_one(database: Database, driven_clock: DrivenClock) -> None:
    """A wrong secret is not knocked with again, except every ten minutes by one process."""
    during: list[object] = []
    numbers = count(1)

    def answer(_request: Request) -> CallResult:
        if next(numbers) == 2:
            during.append(second.get_or_fetch(HR, CHANNEL))
        return refuse()

    vendor = Vendor(database, driven_clock, answer)
    first, second = vendor.process(), vendor.process()

    parked = [process.get_or_fetch(HR, CHANNEL) for process in (first, second, first, second)]
    driven_clock.advance(600)
    probed = [process.get_or_fetch(HR, CHANNEL) for process in (first, second)]

    expected = TokenParked("40001: invalid credential", "check accounts.hr.secret", 600.0)
    assert [told(expected)] * 4 == [told(access) for access in parked]
    assert [told(expected)] * 2 == [told(access) for access in probed]
    assert [told(replace(expected, probe_in_s=15.0, age_s=600.0))] == [told(access) for access in during]
    assert vendor.fetches == 2


def test_a_new_secret_unparks(database: Database, driven_clock: DrivenClock) -> None:
    """Parking belongs to the secret's fingerprint: another secret, or host, asks at once."""
    vendor = Vendor(database, driven_clock, [refuse(), grant("tok1"), grant("tok2"), grant("tok3")])
    process = vendor.process()

    parked = process.get_or_fetch(HR, CHANNEL)
    healed = process.get_or_fetch(account("n3w"), CHANNEL)
    elsewhere = process.get_or_fetch(replace(account("n3w"), base_url="http://simulator"), CHANNEL)
    other = process.get_or_fetch(account("n3w", "sales"), CHANNEL)

    assert isinstance(parked, TokenParked)
    assert [value(access) for access in (healed, elsewhere, other)] == ["tok1", "tok2", "tok3"]


def test_a_vendor_that_says_later_is_left_alone_by_all(database: Database, driven_clock: DrivenClock) -> None:
    """The vendor's pause holds for every process, and ends by itself."""
    vendor = Vendor(database, driven_clock, [later(30), grant("tok1")])
    first, second = vendor.process(), vendor.process()

    waits = [first.get_or_fetch(HR, CHANNEL), second.get_or_fetch(HR, CHANNEL)]
    driven_clock.advance(30)

    assert told(TokenWait(30, "45009: blocked")) == told(waits[0])
    assert isinstance(waits[1], TokenWait)
    assert waits[1].delay == 30
    assert value(second.get_or_fetch(HR, CHANNEL)) == "tok1"


@pytest.mark.every_database
def test_silence_is_answered_with_growing_pauses(database: Database, driven_clock: DrivenClock) -> None:
    """No answer, or no connection: asked again later and later, never all at once; an answer forgets it."""
    silent = NoAnswer("read_timeout", 10.0)
    vendor = Vendor(database, driven_clock, [silent, silent, silent, grant("tok1"), silent])
    process = vendor.process()

    delays = []
    for _ in range(3):
        access = process.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, TokenWait)
        assert plain(access.reason) == "gettoken: read_timeout"
        delays.append(access.delay)
        driven_clock.advance(access.delay + 0.001)

    assert all(low <= delay <= 2 * low for low, delay in zip([1, 2, 4], delays, strict=True))
    assert value(process.get_or_fetch(HR, CHANNEL)) == "tok1"
    driven_clock.advance(LIFE)
    anew = process.get_or_fetch(HR, CHANNEL)
    assert isinstance(anew, TokenWait)
    assert 1 <= anew.delay <= 2


def test_a_connection_that_never_stood_is_silence_too(database: Database, driven_clock: DrivenClock) -> None:
    """DNS, refused, TLS: wait and ask again."""
    transport = ScriptedTransport([], refuse=lambda _request: NotSent("refused", 0.0))
    process = Vendor(database, driven_clock, []).process(transport)

    access = process.get_or_fetch(HR, CHANNEL)

    assert isinstance(access, TokenWait)
    assert plain(access.reason) == "gettoken: refused"


def without_a_way(_request: Request) -> NotSent:
    return NotSent("proxy_refused", 0.0, remedy="correct the account's `proxy`")


def test_a_process_without_a_way_to_the_vendor_holds_up_no_other(database: Database, driven_clock: DrivenClock) -> None:
    """However often it has failed, and so rarely as it then asks, another process asks a second later."""
    vendor = Vendor(database, driven_clock, numbered())
    other = vendor.process()
    cut_off = ScriptedTransport([], without_a_way)
    alone = vendor.process(cut_off)

    waits = []
    for _ in range(6):
        access = alone.get_or_fetch(HR, CHANNEL)
        assert isinstance(access, TokenWait)
        waits.append(access)
        driven_clock.advance(access.delay + 0.001)
    asked = len(cut_off.connects)
    last = alone.get_or_fetch(HR, CHANNEL)
    driven_clock.advance(1)
    again = alone.get_or_fetch(HR, CHANNEL)

    assert all(wait.is_local for wait in waits)
    assert asked + 1 == len(cut_off.connects), "nor does it ask again itself before its own pause is over"
    assert isinstance(last, TokenWait)
    assert isinstance(again, TokenWait)
    assert (last.reason, last.remedy) == (again.reason, again.remedy)
    assert again.delay == pytest.approx(last.delay - 1)
    assert value(other.get_or_fetch(HR, CHANNEL)) == "tok1"
    assert value(alone.get_or_fetch(HR, CHANNEL)) == "tok1", "what the other one has fetched is there for it, too"


def test_processes_without_a_way_ask_one_at_a_time(database: Database, driven_clock: DrivenClock) -> None:
    """Eight of them in two minutes: never two within a second, and each of them twice a minute in the end."""
    asked: list[int] = []

    def away(request: Request) -> NotSent:
        asked.append(driven_clock.micros)
        return without_a_way(request)

    vendor = Vendor(database, driven_clock, [])
    fleet = [vendor.process(ScriptedTransport([], away)) for _ in range(8)]

    for _ in range(120):
        for process in fleet:
            assert isinstance(process.get_or_fetch(HR, CHANNEL), TokenWait)
        driven_clock.advance(1)

    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert min(gaps) >= 1_000_000
    assert sum(at > asked[-1] - 60_000_000 for at in asked) <= 8 * 2


def test_a_damaged_row_is_no_token(database: Database, driven_clock: DrivenClock) -> None:
    """What does not open is fetched anew."""
    vendor = Vendor(database, driven_clock, numbered())
    vendor.process().get_or_fetch(HR, CHANNEL)
    with database.writing() as connection:
        connection.execute(text("update worker_tokens set sealed = 'damaged'"))

    assert value(vendor.process().get_or_fetch(HR, CHANNEL)) == "tok2"


@pytest.mark.every_database
def test_a_lost_race_for_the_lease_waits_for_the_winner(database: Database, driven_clock: DrivenClock) -> None:
    """Two processes see that a fetch is due; the one that loses the lease gets the winner's token."""
    vendor = Vendor(database, driven_clock, numbered())
    winner = vendor.process()

    def overtaken() -> str:
        winner.get_or_fetch(HR, CHANNEL)
        return "loser"

    loser = vendor.process(incarnation=overtaken)

    assert value(loser.get_or_fetch(HR, CHANNEL)) == "tok1"
    assert vendor.fetches == 1


@pytest.mark.every_database
def test_a_lease_is_taken_by_one(database: Database, driven_clock: DrivenClock) -> None:
    """While a lease runs nobody takes another one, not even for the same generation; after it anybody may."""
    key = token_rows.TokenKey("hr", "fingerprint")
    generation = token_rows.read(database, key).generation

    first = token_rows.lease_fetch(database, key, generation, holder="p1", seconds=15)
    second = token_rows.lease_fetch(database, key, generation, holder="p2", seconds=15)
    driven_clock.advance(15)
    third = token_rows.lease_fetch(database, key, generation, holder="p2", seconds=15)

    assert first is not None
    assert second is None
    assert third is not None
    assert not token_rows.store_token(database, first, sealed="late", lifetime_s=60, probation_s=60)
    assert token_rows.store_token(database, third, sealed="new", lifetime_s=60, probation_s=60)


def test_an_account_without_a_secret_is_a_configuration_error(database: Database) -> None:
    """The sentence names the setting."""
    process = Vendor(database, DrivenClock(), []).process()

    with pytest.raises(ConfigurationError, match=r"accounts\.hr has no secret"):
        process.get_or_fetch(replace(HR, secret=None), CHANNEL)
