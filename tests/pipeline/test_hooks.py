"""Application hooks: heard at least once, in a transaction of their own, parked with their trace, never in the way."""

from __future__ import annotations

import random
import threading
from asyncio import CancelledError
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN, press, sent
from tests.support.asgi import asked
from tests.support.runtime import UPDATE, Site, lost, planted, refused
from worker import CardUpdate, JobState, update_card
from worker.channels.registry import channel
from worker.config.logging import redact
from worker.config.settings import DeliverySettings, Settings
from worker.control.lift import retry_event
from worker.control.resolve import find_unknown, resolve
from worker.domain.callbacks.hook import ANY_ACCOUNT, CallbackReceived, CardPressed, JobDone, MessageReceived
from worker.domain.errors import ConfigurationError, WorkerError
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.hooks.callbacks import CallbackStore
from worker.hooks.offers import HookOffers
from worker.hooks.registry import ApplicationHooks, load_hooks, on_callback, on_card_action, on_job_done, on_message
from worker.hooks.runs import BUSY_RETRY_S, MAX_RUNS, MORE, HookRuns, hook_threads
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.lanes.processes import end_processes, renew_heartbeat
from worker.reporting.report import get_job
from worker.reporting.timeline import timeline
from worker.service.web.receiver import Receiver

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@dataclass
class Hall:
    """A runtime, its receiver, and the hooks of one process; messages to the broker are a list."""

    site: Site
    hooks: ApplicationHooks
    settings: DeliverySettings
    messages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        site = self.site
        door = channel("wecom_app").callback_verifier(
            site.accounts.get("hr"), {"token": TOKEN, "aes_key": AES_KEY}, 300
        )
        store = CallbackStore(site.database, Settings(hooks="shop.hooks"), site.accounts).store
        self.receiver = Receiver({"hr": door}.get, store, now=lambda: NOW)
        self.runs = self.process()
        self.offers = HookOffers(
            site.database, self.messages.extend, threads=4, republish_after_s=5, monotonic=site.ticks
        )

    def process(self, holder: str | None = None, may_act: Callable[[], bool] = lambda: True) -> HookRuns:
        """The runs of this process, or of another one."""
        return HookRuns(
            self.site.database,
            self.hooks,
            self.settings,
            holder=lambda: holder or self.site.runtime.lease.incarnation,
            may_act=may_act,
            rng=random.Random(7),
        )

    def press(self, job: str, **fields: Any) -> None:
        """Somebody presses a job's card."""
        one = sent(press(fields.pop("task_id", f"w{part_id(job, 0)}"), **fields))
        assert asked(self.receiver.app, "POST", "/callback/hr", one.query, one.body).status == 200

    def says(self, *fields: str) -> None:
        """What a person, or the vendor, calls back."""
        inner = "".join(f"<{name}>{value}</{name}>" for name, _, value in (one.partition("=") for one in fields))
        one = sent(f"<xml><FromUserName>Zhang</FromUserName><CreateTime>1700000000</CreateTime>{inner}</xml>")
        assert asked(self.receiver.app, "POST", "/callback/hr", one.query, one.body).status == 200

    def turn(self) -> int:
        """Offers what is due and hears it; how many were offered."""
        offered = self.offers.turn()
        ids, self.messages[:] = list(self.messages), []
        for one in ids:
            self.runs.hear(one)
        return offered

    def event(self) -> SimpleNamespace:
        """The only event."""
        [row] = self.site.rows("select * from worker_events")
        return row


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = int(NOW) * SECOND
    with planted(database, driven_clock) as planted_site:
        yield planted_site


MakeHall = Callable[..., Hall]


@pytest.fixture
def hall(site: Site) -> MakeHall:
    return lambda *functions: Hall(site, ApplicationHooks(functions), site.runtime.settings)


@pytest.fixture
def card(site: Site) -> str:
    """A card that was sent."""
    job = site.card()
    site.ring(job)
    return job


# -- heard ------------------------------------------------------------------------------------------------------------


def test_a_press_is_heard_with_everything_about_it(hall: MakeHall, site: Site) -> None:
    """Job, part, person, button, selection, task, account, tags and key; and the worker commits."""
    card = site.card(tags=["leave"], dedupe_key="leave-5521")
    site.ring(card)
    heard: list[CardPressed] = []

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        heard.append(action)

    here = hall(hook)
    here.site.advance(5)  # between the press and its arrival
    selected = "<SelectedItems><SelectedItem><QuestionKey>q</QuestionKey><OptionIds><OptionId>a</OptionId></OptionIds>"
    here.press(card, person="LiSi", selected=f"{selected}</SelectedItem></SelectedItems>")

    here.turn()

    [action] = heard
    assert (card, part_id(card, 0), "hr", "LiSi") == (action.job_id, action.part_id, action.account, action.person)
    assert ("approve", {"q": ("a",)}, f"w{part_id(card, 0)}") == (action.button, action.selected, action.task_id)
    assert ("button_interaction", False, int(NOW)) == (action.card_type, action.menu, action.happened_at.timestamp())
    assert (here.event().state, here.event().tries, here.event().holder) == (2, 1, None)
    assert (action.replay_of, action.tags, action.dedupe_key) == (None, ("leave",), "leave-5521")
    assert not [word for word in ("LiSi", "leave-5521") if word in repr(action)]


def test_the_press_of_a_replayed_card_names_what_the_application_asked_for(hall: MakeHall, site: Site) -> None:
    """A replay has an id that the application never saw: the first job of the chain, its tags and its key are told."""
    heard: list[CardPressed] = []
    here = hall(on_card_action(lambda action, session: heard.append(action)))
    site.vendor.says(refused(40003), refused(40003))
    first = site.card(tags=["leave", "5521"], dedupe_key="leave-5521")
    site.ring(first)
    second = site.replay(first)
    site.ring(second)
    third = site.replay(second)
    site.ring(third)

    here.press(third, task_id=site.bodies()[-1]["template_card"]["task_id"])
    here.turn()

    [action] = heard
    assert (third, first) == (action.job_id, action.replay_of)
    assert (action.tags, action.dedupe_key) == (("leave", "5521"), "leave-5521")


def test_a_hook_updates_the_card_with_the_code_of_the_press(hall: MakeHall, site: Site, card: str) -> None:
    """Enqueued in the hook's transaction; the call spends the press's own code and names the person alone."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        update = CardUpdate(replace_name="approved")
        update_card(session, action.job_id, update, [action.person], accounts=site.accounts)

    here = hall(hook)
    here.press(card)

    here.turn()
    site.run()

    assert [(body["response_code"], body["userids"]) for body in site.bodies(UPDATE)] == [("code-1", ["lisi"])]
    [update] = site.rows("select * from worker_jobs where kind = 'update_card'")
    assert update.state == 2


@pytest.mark.every_database
def test_what_a_hook_wrote_is_there_with_the_events_end_or_not_at_all(hall: MakeHall, site: Site, card: str) -> None:
    """It fails after its update was enqueued: nothing is enqueued, and the second run enqueues it once."""
    runs: list[str] = []

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        runs.append(action.id)
        update = CardUpdate(replace_name="approved")
        update_card(session, action.job_id, update, accounts=site.accounts)
        if len(runs) == 1:
            raise RuntimeError("after the update")

    here = hall(hook)
    here.press(card)
    query = "select count(*) as n from worker_jobs where kind = 'update_card'"

    here.turn()
    between = site.rows(query)[0].n
    site.advance(1)
    here.turn()

    assert (between, site.rows(query)[0].n) == (0, 1)
    assert len(runs) == 2
    assert len(set(runs)) == 1


LIMIT = {
    "postgresql": (
        "select setting::int / 1000 from pg_settings where name = 'idle_in_transaction_session_timeout'",
        "set idle_in_transaction_session_timeout = '10ms'",
        "select pg_backend_pid()",
        "select 1 from pg_stat_activity where pid = :id",
        "select pg_sleep(0.005)",
    ),
    "mysql": (
        "select @@session.idle_transaction_timeout",
        "set session idle_transaction_timeout = 1",
        "select connection_id()",
        "select 1 from information_schema.processlist where id = :id",
        "select sleep(0.005)",
    ),
}
"""How long a transaction of ours may idle, in seconds; how to shorten that; who it is; whether he is still there."""


@pytest.mark.every_database
@pytest.mark.fewer_databases("SQLite ends no transaction that idles")
def test_a_hook_that_wrote_and_then_idles_too_long_is_run_again(
    server_database: Database, driven_clock: DrivenClock
) -> None:
    """After 60 s the server takes back what it wrote; the run has failed, and the next one writes it once."""
    driven_clock.micros = int(NOW) * SECOND
    limit, shorten, who, is_there, pause = LIMIT[server_database.dialect.name]
    with server_database.reading() as connection:
        if server_database.dialect.name == "mysql" and not getattr(connection.dialect, "is_mariadb", False):
            pytest.skip("MySQL ends no transaction that idles")
    limits: list[int] = []

    with planted(server_database, driven_clock) as site:

        @on_card_action
        def hook(action: CardPressed, session: Session) -> None:
            update = CardUpdate(replace_name="approved")
            update_card(session, action.job_id, update, accounts=site.accounts)
            limits.append(session.execute(text(limit)).scalar_one())
            if len(limits) == 1:
                mine = session.execute(text(who)).scalar_one()
                session.execute(text(shorten))
                until_gone(mine)

        def until_gone(connection_id: int) -> None:
            for _ in range(2_000):
                if not site.rows(is_there, id=connection_id):
                    return
                site.rows(pause)
            raise AssertionError("the server did not end it")

        here = Hall(site, ApplicationHooks([hook]), site.runtime.settings)
        job = site.card()
        site.ring(job)
        here.press(job)
        query = "select count(*) as n from worker_jobs where kind = 'update_card'"

        here.turn()
        between = (here.event().state, site.rows(query)[0].n)
        site.advance(2)
        here.turn()

        assert limits == [60, 60]
        assert between == (0, 0)
        assert (here.event().state, site.rows(query)[0].n) == (2, 1)


@pytest.mark.every_database
def test_every_hook_of_an_event_is_run_in_one_transaction(hall: MakeHall, card: str) -> None:
    """In the order of the module; those of other accounts are not."""
    heard: list[str] = []
    functions = [on_card_action(lambda action, session, n=n: heard.append(n)) for n in ("one", "two")]
    other = on_card_action(accounts="it")(lambda action, session: heard.append("it"))
    here = hall(*functions, other)
    here.press(card)

    here.turn()

    assert heard == ["one", "two"]


def test_an_event_nobody_listens_to_is_left_for_minutes_and_then_ignored(hall: MakeHall, site: Site, card: str) -> None:
    """Few looks, each later than the last; then it is kept, ended, and never offered again."""
    here = hall(on_job_done(lambda done, session: None))
    here.press(card)
    looked_at = []

    for second in range(0, 300, 5):
        if here.turn():
            looked_at.append(second)
        site.advance(5)

    assert looked_at == [0, 15, 60, 240]
    assert (here.event().state, here.event().tries) == (4, 1)


@pytest.mark.every_database
def test_a_process_with_a_newer_module_hears_what_an_older_one_has_no_hook_for(hall: MakeHall, card: str) -> None:
    """While a release is rolled out either may be offered the event; its hook runs, and that is its first run."""
    heard: list[str] = []
    older = hall(on_job_done(lambda done, session: None))
    newer = hall(on_card_action(lambda action, session: heard.append(action.id)))
    older.press(card)

    older.turn()
    newer.site.advance(16)
    newer.turn()

    assert [newer.event().id] == heard
    assert (newer.event().state, newer.event().tries) == (2, 1)


@pytest.mark.every_database
def test_an_event_that_is_rung_again_is_not_run_again(hall: MakeHall, card: str) -> None:
    """Neither before its next try is due nor after its end; a broker may deliver a message twice."""
    ran: list[str] = []

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        ran.append(action.id)
        if len(ran) == 1:
            raise RuntimeError

    here = hall(hook)
    here.press(card)
    event = here.event().id

    for runs in (1, 2):
        for _ in range(3):
            here.runs.hear(event)
        assert (ran, here.event().tries) == ([event] * runs, runs)
        here.site.advance(600)
    assert here.event().state == 2


# -- more in the same thread ------------------------------------------------------------------------------------------


def ends_and_presses(site: Site) -> tuple[list[str], list[str]]:
    """Ids of the events that have not been heard, oldest first."""
    rows = site.rows("select id, job_state from worker_events where state = 0 order by id")
    return [row.id for row in rows if row.job_state is not None], [row.id for row in rows if row.job_state is None]


def test_a_thread_goes_on_with_what_is_due(database: Database, driven_clock: DrivenClock) -> None:
    """What people do goes first; after that alone come no ends of jobs, from which a part of the threads is kept."""
    heard: list[str] = []

    @on_job_done
    def ended(done: JobDone, session: Session) -> None:
        heard.append("end")

    @on_card_action
    def pressed(action: CardPressed, session: Session) -> None:
        heard.append("press")

    with reporting(database, driven_clock, JobState.ACCEPTED) as site:
        here = Hall(site, ApplicationHooks([ended, pressed]), site.runtime.settings)
        jobs = [site.card(), *(site.send() for _ in range(3))]
        for job in jobs:
            site.ring(job)
        for person in ("li", "wu"):
            here.press(jobs[0], person=person)
        ends, presses = ends_and_presses(site)

        here.runs.hear(presses[0], lambda: True)
        after_a_press = list(heard)
        here.press(jobs[0], person="he")
        here.runs.hear(ends[0], lambda: True)

    assert after_a_press == ["press", "press"]
    assert heard[2:] == ["end", "press", "end", "end", "end"]


def test_a_thread_leaves_what_was_offered_and_stops_for_a_drain(hall: MakeHall, site: Site, card: str) -> None:
    """What was offered has a message on its way; a drain waits for one hook only; nor does it go on for ever."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None: ...

    def heard() -> int:
        return len(site.rows("select id from worker_events where state = 2"))

    here, goes_on = hall(hook), iter([True, False])
    for n in range(4):
        here.press(card, person=f"u{n}")
    here.offers.turn()
    for n in range(4, 4 + MORE + 4):
        here.press(card, person=f"u{n}")

    here.runs.hear(here.messages[0], lambda: next(goes_on))
    until_the_drain = heard()
    here.runs.hear(here.messages[1], lambda: True)

    assert (until_the_drain, heard()) == (2, 2 + 1 + MORE)
    assert set(here.messages[2:]) < {row.id for row in site.rows("select id from worker_events where state = 0")}


def test_ends_of_jobs_do_not_go_on_in_every_thread(database: Database, driven_clock: DrivenClock) -> None:
    """A quarter of them is free again for presses as soon as it has run one."""
    room = hook_threads(DeliverySettings())
    first, go, started, returned = threading.Barrier(room), threading.Event(), threading.Semaphore(0), Queue[str]()
    once = set[int]()

    @on_job_done
    def hook(done: JobDone, session: Session) -> None:
        if threading.get_ident() not in once:
            once.add(threading.get_ident())
            first.wait(120)
            return
        started.release()
        assert go.wait(120)

    with reporting(database, driven_clock, JobState.ACCEPTED) as site:
        here = Hall(site, ApplicationHooks([hook]), DeliverySettings())
        for job in [site.send() for _ in range(2 * room)]:
            site.ring(job)
        ends, _ = ends_and_presses(site)

        def hear(end: str) -> None:
            here.runs.hear(end, lambda: not go.is_set())
            returned.put(end)

        threads = [threading.Thread(target=hear, args=[end]) for end in ends[:room]]
        for thread in threads:
            thread.start()
        for _ in threads[1:]:
            assert started.acquire(timeout=120)
        assert returned.get(timeout=120) in ends
        is_one = returned.empty()
        go.set()
        for thread in threads:
            thread.join()

    assert is_one


# -- failing ----------------------------------------------------------------------------------------------------------


@on_card_action
def failing(action: CardPressed, session: Session) -> None:
    """A hook with a secret in its error."""
    inner()


def inner() -> None:
    raise ValueError("password=hunter2 of lisi")


def test_a_failing_hook_is_run_again_with_backoff_and_then_parked(hall: MakeHall, site: Site, card: str) -> None:
    """Anything up to base x 2^n, here the end of it; after ten tries it waits for a person."""
    here, least = hall(failing), set[float]()

    def most(low: float, high: float) -> float:
        least.add(low)
        return high

    here.runs = HookRuns(
        site.database,
        here.hooks,
        here.settings,
        holder=lambda: site.runtime.lease.incarnation,
        may_act=lambda: True,
        rng=SimpleNamespace(uniform=most),  # type: ignore[arg-type]
    )
    here.press(card)
    delays = []

    for _ in range(MAX_RUNS):
        assert here.turn() == 1
        due = here.event().due_at
        delays.append(None if due is None else (due - site.clock.micros) / SECOND)
        site.advance(600)

    assert (delays[:4], delays[-1], least) == ([1, 2, 4, 8], None, {0})
    assert here.turn() == 0
    assert (here.event().state, here.event().tries) == (3, MAX_RUNS)


def test_a_failing_hook_is_logged_with_its_places_and_no_text(hall: MakeHall, site: Site, card: str) -> None:
    """Its line leads to the application's own code, as the job's timeline does once it is parked."""
    here = hall(failing)
    here.press(card)

    with capture_logs() as lines:
        here.turn()

    [line] = [line for line in lines if line["event"] == "hook_failed"]
    assert line["where"].startswith("ValueError > test_hooks.py:")
    assert line["where"].endswith(" inner")
    assert ("card_action", card, 1, "ValueError") == tuple(line[name] for name in ("kind", "job", "attempt", "error"))
    assert "hunter2" not in str(line)


def test_on_a_machine_of_ones_own_the_whole_error_is_logged(
    hall: MakeHall, site: Site, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At ERROR, with its text and its lines; what looks like a credential is masked on its way out."""
    here = hall(failing)
    here.runs = replace(here, settings=here.settings.model_copy(update={"hook_tracebacks": True})).runs
    here.press(card)

    with capture_logs() as lines:
        here.turn()

    [line] = [line for line in lines if line["event"] == "hook_traceback"]
    assert ("error", card) == (line["log_level"], line["job"])
    assert "Traceback (most recent call last):" in line["text"]
    assert "ValueError: password=hunter2" in line["text"]
    assert "ValueError: password=***" in redact(None, "", line)["text"]


def test_a_parked_hook_stands_in_the_jobs_timeline_with_its_places_and_no_text(
    hall: MakeHall, site: Site, card: str
) -> None:
    """The class of the error and the application's own places; what its text says may be a secret."""
    here = hall(failing)
    here.press(card)
    for _ in range(MAX_RUNS):
        here.turn()
        site.advance(600)

    with site.database.reading() as connection:
        lines = {event.what: event for event in timeline(connection, card)}
        report = get_job(connection, card)

    parked = lines["hook parked"].detail
    assert parked.startswith("card_action ")
    assert f"run {MAX_RUNS}: ValueError > test_hooks.py:" in parked
    assert parked.rpartition(" > ")[2].endswith(" inner")
    assert " failing > " in parked
    assert not [word for word in ("hunter2", "password", "lisi") if word in f"{lines} {report}"]
    assert (lines["pressed"].detail, lines["pressed"].person) == ("key approve", "lisi")


def test_an_error_of_ours_keeps_its_sentence(hall: MakeHall, site: Site, card: str) -> None:
    """Our own errors never hold what no log may: they say what to change."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        update_card(session, "no-such-job", CardUpdate(replace_name="x"), accounts=site.accounts)

    here = hall(hook)
    here.press(card)

    here.turn()

    assert here.event().error.startswith("JobNotFound: no job 'no-such-job'")


@pytest.mark.every_database
def test_a_sentence_that_no_database_takes_is_stored_without_its_odd_characters(
    hall: MakeHall, site: Site, card: str
) -> None:
    """It quotes a name of the application's, with a NUL and half a character in it. The event is due again."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        site.accounts.get("h\x00r\ud83d")

    here = hall(hook)
    here.press(card)

    here.turn()

    assert (here.event().state, here.event().tries) == (0, 1)
    assert "add [accounts.h\ufffdr?]" in here.event().error


@pytest.mark.parametrize("kind", ["async", "a generator"])
def test_what_a_decorator_hides_fails_with_a_sentence(hall: MakeHall, site: Site, card: str, kind: str) -> None:
    """Its own shape is right; that nothing ran is seen by what it returns."""

    async def later(action: CardPressed, session: Session) -> None: ...

    def piecemeal(action: CardPressed, session: Session) -> Any:
        yield

    inner = later if kind == "async" else piecemeal
    here = hall(on_card_action(lambda action, session: inner(action, session)))
    here.press(card)
    here.turn()

    assert ("the hook is async or a generator" in here.event().error, 0) == (True, here.event().state)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, CancelledError])
def test_a_hook_that_wants_to_exit_ends_nothing(hall: MakeHall, card: str, error: type[BaseException]) -> None:
    """`sys.exit` in a hook is a failed run, and so is what no `except Exception` catches, such as a cancelled task."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        raise error(3)

    here = hall(hook)
    here.press(card)

    here.turn()

    assert here.event().error.startswith(f"{error.__name__} > ")


# -- processes and outages --------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_an_event_of_a_dead_process_is_run_again_and_of_a_living_one_is_not(
    hall: MakeHall, site: Site, card: str
) -> None:
    """However long it takes: a run belongs to its process, not to a clock."""
    heard: list[str] = []
    here = hall(on_card_action(lambda action, session: heard.append(action.id)))
    here.press(card)
    other = "f" * 32
    site.sql(
        "insert into worker_processes (id, alive_until, started_at, threads, host, pid, lanes)"
        " values (:id, 0, 0, 1, 'h', 1, '{}')",
        id=other,
    )
    with site.database.writing() as connection:
        claimed = events.claim_event(connection, site.database.now, here.event().id, other)
    site.advance(86_400)

    while_it_lives = here.turn()
    with site.database.writing() as connection:
        end_processes(connection, site.database.now, [other])
    site.advance(1)
    here.turn()

    assert claimed is not None
    assert (while_it_lives, len(heard), here.event().tries) == (0, 1, 2)
    with site.database.writing() as connection:
        assert not events.end_event(connection, site.database.now, claimed, events.EventState.DONE)


def test_a_hook_that_kills_its_process_is_parked_as_one_that_raises(hall: MakeHall, site: Site, card: str) -> None:
    """Nothing of such a run is written but its claim. A person can start over when the hook is mended."""
    heard: list[str] = []
    here = hall(on_card_action(lambda action, session: heard.append(action.id)))
    here.press(card)
    for n in range(MAX_RUNS):
        name = f"{n:032x}"
        site.sql(
            "insert into worker_processes (id, alive_until, started_at, threads, host, pid, lanes)"
            " values (:id, 0, 0, 1, 'h', 1, '{}')",
            id=name,
        )
        with site.database.writing() as connection:
            events.claim_event(connection, site.database.now, here.event().id, name)
            end_processes(connection, site.database.now, [name])
            events.free_events_of_ended_processes(connection, site.database.now)

    here.turn()
    parked, runs = here.event(), len(heard)
    retry_event(parked.id, person="ops", database=site.database)
    here.turn()

    assert (events.EventState(parked.state).label, runs) == ("parked", 0)
    assert "the process of the last one ended" in parked.error
    assert (events.EventState(here.event().state).label, len(heard)) == ("done", 1)


@pytest.mark.every_database
def test_a_run_whose_process_was_called_dead_takes_back_what_it_wrote(hall: MakeHall, site: Site, card: str) -> None:
    """Another has the event by then: the late one's transaction is rolled back, so its work is there once."""

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        site.sql("update worker_events set claim = claim + 1")
        update_card(session, action.job_id, CardUpdate(replace_name="x"), accounts=site.accounts)

    here = hall(hook)
    here.press(card)

    here.turn()

    assert site.rows("select id from worker_jobs where kind = 'update_card'") == []
    assert (here.event().state, here.event().error) == (1, None)


def test_a_process_without_a_lease_runs_nothing(hall: MakeHall, card: str) -> None:
    """It leaves the event to others."""
    heard: list[str] = []
    here = hall(on_card_action(lambda action, session: heard.append(action.id)))
    here.press(card)

    here.process(may_act=lambda: False).hear(here.event().id)

    assert (heard, here.event().state) == ([], 0)
    assert here.turn() == 1


@pytest.mark.every_database
def test_a_failure_is_written_when_the_database_is_back(
    hall: MakeHall, site: Site, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook failed and the database with it: kept, and written at a later heartbeat."""
    here = hall(failing)
    here.press(card)
    write = events.fail_event

    def away(*arguments: Any) -> None:
        raise OperationalError("x", {}, Exception("away"))

    monkeypatch.setattr(events, "fail_event", away)
    here.turn()
    running = here.event().state
    with pytest.raises(OperationalError):
        here.runs.settle()
    monkeypatch.setattr(events, "fail_event", write)
    here.runs.settle()

    assert (running, here.event().state) == (1, 0)


@contextmanager
def unanswered(database: Database) -> Iterator[None]:
    """Transactions of this process are committed, and the connection dies before it hears so."""
    run = database.run

    def torn(*arguments: Any, **options: Any) -> None:
        run(*arguments, **options)
        raise OperationalError("x", {}, Exception("away"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "run", torn)
        yield


@pytest.mark.every_database
def test_an_event_whose_claim_had_no_answer_is_heard_once_the_database_is_back(
    hall: MakeHall, site: Site, card: str
) -> None:
    """The row says that this living process runs it, and no thread does: it is handed back, and no run was counted."""
    heard: list[str] = []
    here = hall(on_card_action(lambda action, session: heard.append(action.id)))
    here.press(card)
    waiting = here.event()
    with unanswered(site.database), pytest.raises(OperationalError):
        here.runs.hear(waiting.id)
    claimed = here.event()

    here.runs.settle()
    site.advance(1)
    here.turn()

    assert (1, site.runtime.lease.incarnation) == (claimed.state, claimed.holder)
    assert [here.event().id] == heard
    assert (here.event().state, here.event().tries) == (2, 1)


def test_an_event_that_a_thread_runs_is_not_handed_back(hall: MakeHall, site: Site, card: str) -> None:
    """The broker may bring it twice: what a second thread could not claim is the first one's still."""
    heard: list[str] = []

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        heard.append(action.id)
        with unanswered(site.database):
            here.runs.hear(action.id)
        here.runs.settle()

    here = hall(hook)
    here.press(card)

    here.turn()
    site.advance(1)
    here.turn()

    assert [here.event().id] == heard
    assert (here.event().state, here.event().tries) == (2, 1)


def test_an_event_of_a_newer_release_is_left_to_it(hall: MakeHall, site: Site, card: str) -> None:
    """However old it is: ended here without a hook it would be lost. It comes back after four minutes at last."""
    heard: list[str] = []
    here = hall(on_card_action(lambda action, session: heard.append(action.id)))
    here.press(card)
    kind = here.event().kind
    site.sql("update worker_events set kind = 'of tomorrow'")
    waits = []
    for _ in range(6):
        here.turn()
        waits.append((here.event().due_at - site.clock.micros) / SECOND)
        site.advance(waits[-1])

    assert (waits, here.event().state, here.event().tries) == ([15, 45, 180, 240, 240, 240], 0, 0)
    site.sql("update worker_events set kind = :kind", kind=kind)
    here.turn()
    assert [here.event().id] == heard


def test_a_slow_hook_leaves_room_for_sends_and_is_not_piled_up(hall: MakeHall, site: Site, card: str) -> None:
    """Its threads are few: what finds them busy is left, and offered again a little later; the 200 never waits."""
    go, started = threading.Event(), threading.Semaphore(0)

    @on_card_action
    def hook(action: CardPressed, session: Session) -> None:
        started.release()
        assert go.wait(120)

    here = hall(hook)
    room = hook_threads(site.runtime.settings)
    for n in range(room + 1):
        here.press(card, person=f"u{n}")
    ids = [row.id for row in site.rows("select id from worker_events order by id")]
    threads = [threading.Thread(target=here.runs.hear, args=[one]) for one in ids[:room]]

    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=30)
    here.runs.hear(ids[-1])  # returns at once
    waiting = site.rows("select * from worker_events where state = 0")
    here.press(card, person="later")  # answered while every hook's thread is busy
    go.set()
    for thread in threads:
        thread.join()

    assert [(ids[-1], int(BUSY_RETRY_S * SECOND))] == [
        (row.id, row.offered_until - site.clock.micros) for row in waiting
    ]
    assert room == len(site.rows("select id from worker_events where state = 2"))


@pytest.mark.parametrize(("threads", "hooks"), [(1, 1), (2, 1), (8, 2), (32, 4), (128, 4)])
def test_hooks_have_a_quarter_of_the_threads_at_most(threads: int, hooks: int) -> None:
    """The rest goes on sending."""
    assert hooks == hook_threads(DeliverySettings(threads=threads))


def test_no_more_is_offered_than_all_processes_can_run(hall: MakeHall, site: Site, card: str) -> None:
    """Running ones count; a lost message is offered again when its time is over."""
    here = hall(on_card_action(lambda action, session: None))
    for n in range(6):
        here.press(card, person=f"u{n}")

    first, again = here.offers.turn(), here.offers.turn()
    lost_ids, here.messages[:] = list(here.messages), []
    site.advance(5.1)
    here.offers.turn()

    assert (first, again) == (4, 0)
    assert lost_ids == here.messages


def test_every_process_that_is_alive_runs_hooks(hall: MakeHall, site: Site, card: str) -> None:
    """So twice as many are offered at a time to two."""
    here = hall(on_card_action(lambda action, session: None))
    for n in range(9):
        here.press(card, person=f"u{n}")
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, "p2", lease_us=10 * SECOND, threads=4, host="h", pid=1, lanes="{}"
        )

    assert here.offers.turn() == 8


# -- jobs that ended --------------------------------------------------------------------------------------------------


def reporting(database: Database, clock: DrivenClock, *states: JobState) -> Any:
    return planted(database, clock, hooked_ends={ANY_ACCOUNT: frozenset(states)})


@pytest.mark.every_database
def test_a_job_that_ends_leaves_an_event_in_the_same_transaction(database: Database, driven_clock: DrivenClock) -> None:
    """Only in the states that somebody wants to hear of; told with kind, state, tags and key."""
    heard: list[JobDone] = []
    hook = on_job_done(states=[JobState.REJECTED])(lambda done, session: heard.append(done))
    with reporting(database, driven_clock, JobState.REJECTED) as site:
        site.vendor.says(refused(40003))
        job, fine = site.send(tags=["payroll"], dedupe_key="pay-7"), site.send()
        site.ring(job)
        site.ring(fine)
        here = Hall(site, ApplicationHooks([hook]), site.runtime.settings)
        here.turn()

    [done] = heard
    assert (job, "send", JobState.REJECTED, "hr") == (done.job_id, done.kind, done.state, done.account)
    assert (done.tags, done.dedupe_key, done.replay_of) == (("payroll",), "pay-7", None)


@pytest.mark.every_database
def test_an_unknown_that_is_decided_later_is_heard_twice(database: Database, driven_clock: DrivenClock) -> None:
    """First unknown, then how it ended: each with its own state, also if the answer of its first repeat is lost too."""
    with reporting(database, driven_clock, JobState.UNKNOWN, JobState.ACCEPTED) as site:
        site.vendor.says(lost(), lost())
        job = site.send()
        site.ring(job)
        for _ in range(2):
            site.advance(26)
            site.recover()
            site.ring(job)

        found = site.rows("select job_id, job_state from worker_events order by id")

    assert [(job, 6), (job, 2)] == [(row.job_id, row.job_state) for row in found]


@pytest.mark.every_database
def test_the_ends_of_a_job_are_heard_one_after_the_other(database: Database, driven_clock: DrivenClock) -> None:
    """An application that stores the state it hears is not left with `unknown`, also if that hook fails for a while.

    As many ends wait for that as are offered at a time: they do not keep the ones before them from being offered.
    """
    tried, heard = Counter[str](), defaultdict[str, list[JobState]](list)

    @on_job_done
    def hook(done: JobDone, session: Session) -> None:
        tried[done.job_id] += 1
        if tried[done.job_id] <= 3:
            raise RuntimeError("the application's own")
        heard[done.job_id].append(done.state)

    with reporting(database, driven_clock, JobState.UNKNOWN, JobState.ACCEPTED) as site:
        here = Hall(site, ApplicationHooks([hook]), site.runtime.settings)
        jobs = [site.send(on_unknown="resend") for _ in range(3)]
        site.vendor.says(*(lost() for _ in jobs))
        for job in jobs:
            site.ring(job)
        site.advance(60)
        site.recover()
        here.turn()
        for job in jobs:
            site.ring(job)
        for _ in range(100):
            site.advance(1)
            here.turn()

    assert {job: [JobState.UNKNOWN, JobState.ACCEPTED] for job in jobs} == heard


@pytest.mark.every_database
def test_an_end_is_not_heard_before_the_doubt_that_it_ends(database: Database, driven_clock: DrivenClock) -> None:
    """Also if the clock was set back between the two; and a parked doubt is not given again after the end."""
    heard: list[JobState] = []

    @on_job_done
    def hook(done: JobDone, session: Session) -> None:
        if done.state is JobState.UNKNOWN:
            raise RuntimeError
        heard.append(done.state)

    with reporting(database, driven_clock, JobState.UNKNOWN, JobState.REJECTED) as site:
        here = Hall(site, ApplicationHooks([hook]), site.runtime.settings)
        site.vendor.says(lost())
        site.ring(site.send(duplicate_check=False))
        site.clock.advance(-60)
        found = find_unknown(JobFilter(account="hr"), force=True, database=site.database)
        resolve(found, sent=False, why="not there", person="li", settings=Settings(hooks="x"), database=site.database)
        here.turn()
        before = list(heard)
        for _ in range(MAX_RUNS + 2):
            site.advance(600)
            here.turn()
        (doubt,) = site.rows("select id from worker_events where job_state = 6")

        with pytest.raises(WorkerError, match="ended since"):
            retry_event(doubt.id, person="ops", database=site.database)
        here.turn()

    assert (before, heard) == ([], [JobState.REJECTED])


# -- finding them -----------------------------------------------------------------------------------------------------


def test_a_module_that_is_not_there_is_one_sentence(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that fails, without its error's text, and one that holds no hook; where none is named there are none."""
    assert not load_hooks("")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "failing_hooks_module.py").write_text("raise ValueError('password=hunter2')")
    (tmp_path / "empty_hooks_module.py").write_text("x = 1")

    with pytest.raises(ConfigurationError, match=r"^hooks: module no_such_hooks .* there is no module no_such_hooks$"):
        load_hooks("no_such_hooks")
    with pytest.raises(ConfigurationError, match="cannot be imported: ValueError > ") as told:
        load_hooks("failing_hooks_module")
    with pytest.raises(ConfigurationError, match="holds no hook; mark functions"):
        load_hooks("empty_hooks_module")
    with pytest.raises(ConfigurationError, match="hooks: worker is the name of this package; give your module"):
        load_hooks("worker")
    assert "hunter2" not in str(told.value)


def test_a_modules_marked_functions_are_found_once_each(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under whatever names, imported or its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_hooks_module.py").write_text(
        "from worker import on_card_action, on_job_done, JobState\n"
        "@on_card_action\ndef first(action, session): ...\nsame = first\n"
        "@on_job_done(states=[JobState.REJECTED])\ndef second(done, session): ...\n"
        "def helper(): ...\n"
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    pressed = CardPressed("e", "hr", "j", "j-0", "lisi", "ok", {}, "t", "button_interaction", False, at)
    done = JobDone("e", "hr", "j", "send", JobState.REJECTED, at)

    hooks = load_hooks("shop_hooks_module")

    assert hooks.subscriptions.ends == {ANY_ACCOUNT: {JobState.REJECTED}}
    assert [[hook.__name__ for hook in hooks.functions_for(event)] for event in (pressed, done)] == [
        ["first"],
        ["second"],
    ]


@pytest.mark.parametrize("states", [[], [JobState.OPEN], [JobState.OPEN, JobState.ACCEPTED]])
def test_a_state_that_is_no_end_is_refused(states: list[JobState]) -> None:
    """When the module is imported, so when the process starts."""
    with pytest.raises(ConfigurationError, match="no end of a job"):
        on_job_done(states=states)


# -- what comes besides ------------------------------------------------------------------------------------------------


def test_a_message_reaches_its_hook_once(hall: MakeHall) -> None:
    """With what was written, whoever wrote it; a repeat of the vendor's is no second one."""
    heard: list[MessageReceived] = []
    told: list[CallbackReceived] = []
    here = hall(
        on_message(lambda message, session: heard.append(message)),
        on_callback(lambda event, session: told.append(event)),
    )
    here.site.advance(5)
    for _ in range(2):
        here.says("MsgType=text", "Content=please stop", "MsgId=1")
    here.says("MsgType=image", "PicUrl=http://x", "MsgId=2")
    while here.turn():
        pass

    assert [(one.type, one.text) for one in heard] == [("text", "please stop"), ("image", None)]
    assert {(one.person, one.account, one.data.get("PicUrl", "http://x")) for one in heard} == {
        ("Zhang", "hr", "http://x")
    }
    assert datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) == heard[0].happened_at
    assert told == []
    assert "please stop" not in repr(heard)
    assert "Zhang" not in repr(heard)


def test_any_other_callback_reaches_its_hook(hall: MakeHall) -> None:
    """By the vendor's name, all of them or some; presses of our cards go to theirs."""
    clicks: list[CallbackReceived] = []
    everything: list[CallbackReceived] = []
    elsewhere: list[CallbackReceived] = []
    here = hall(
        on_callback(events=["click"])(lambda event, session: clicks.append(event)),
        on_callback(lambda event, session: everything.append(event)),
        on_callback(accounts=["it"])(lambda event, session: elsewhere.append(event)),
    )
    here.says("MsgType=event", "Event=subscribe")
    here.says("MsgType=event", "Event=click", "EventKey=menu-1")
    while here.turn():
        pass

    assert [(one.event, one.key) for one in clicks] == [("click", "menu-1")]
    assert {(one.event, one.key) for one in everything} == {("subscribe", None), ("click", "menu-1")}
    assert elsewhere == []


@pytest.mark.every_database
def test_a_message_whose_hook_fails_is_parked_and_given_again(hall: MakeHall) -> None:
    """Its tries are counted anew; once it is done it stays so."""
    heard: list[str | None] = []

    @on_message
    def flaky(message: MessageReceived, session: Session) -> None:
        if len(heard) < MAX_RUNS:
            heard.append(None)
            raise ValueError("no")
        heard.append(message.text)

    here = hall(flaky)
    here.says("MsgType=text", "Content=hello", "MsgId=1")
    for _ in range(MAX_RUNS):
        here.turn()
        here.site.advance(600)
    assert here.event().state == 3, "parked"
    retry_event(here.event().id, person="ops", database=here.site.database)
    here.turn()
    with here.site.database.writing() as connection:
        again = events.retry_event(connection, here.site.database.now, here.event().id)
    assert (heard[MAX_RUNS:], here.event().state, here.event().tries, again) == (["hello"], 2, 1, False)


def test_what_was_erased_is_not_told(hall: MakeHall) -> None:
    """The event ends; nothing of the person is left to tell."""
    heard: list[MessageReceived] = []
    here = hall(on_message(lambda message, session: heard.append(message)))
    here.says("MsgType=text", "Content=hello", "MsgId=1")
    here.site.sql("update worker_inbound set payload = '{}', person = ''")
    here.turn()
    assert (heard, here.event().state) == ([], 4)
