"""The outbox of a test: what was enqueued, what became of it, and what people see, press and write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, overload

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from worker.accounts.current import configured
from worker.domain.content.message import Message
from worker.domain.errors import JobNotFound
from worker.language import with_chinese_note
from worker.outbox.engine.caller import run_awaited
from worker.outbox.engine.database import Database, is_retryable
from worker.producer.plan import Recipient
from worker_simulator.testing.accounts import KitAccounts, SettingsSource, settings_of, source_of
from worker_simulator.testing.clock import KitClock, replace_database_clock
from worker_simulator.testing.database import STILL_OPEN, makes_tables, open_database, own_engine
from worker_simulator.testing.inbox import ShownMessage, messages_of
from worker_simulator.testing.jobs import EnqueuedJob, ExpectedJob, failure_text, job_of_row
from worker_simulator.testing.tables import enqueued_rows
from worker_simulator.testing.vendor import UrlPages, Vendor
from worker_simulator.testing.worker import KitWorker
from worker_simulator.wecom_webhook.events import buttons
from worker_simulator.wire.call_log import LoggedCall

T = TypeVar("T")

WITHIN_S = 600.0
"""Seconds of its own waits that the worker may pass over in one `deliver`."""


class KitOutbox:
    """One test's outbox with everything around it.

    With an asynchronous session or connection as `bind`, `deliver`, `jobs`, `job`, `assert_enqueued`, `press` and
    `write` have to be awaited.
    """

    def __init__(self, make_folder: Callable[[str], Path], bind: Any = None, source: SettingsSource = None):
        self._make_folder, self._bind = make_folder, bind
        self._settings = settings_of(source)
        self._own_engine: Engine | None = None
        self._database: Database | None = None
        self._worker: KitWorker | None = None
        self._closing = ExitStack()
        self._vendor = Vendor(self._receive)
        self.clock = KitClock(lambda: self._vendor.state.clock)
        self.pages = UrlPages()
        """URL -> content of files that messages name by their URL; any other URL is not found."""
        self.accounts = KitAccounts(source_of(source, self._settings), lambda: self._vendor.settings)
        """The accounts, with made-up secrets, at the fake vendor."""
        # Now, so that the tables are there before the application enqueues.
        if bind is not None and not hasattr(bind, "run_sync"):
            self._open_database()
        elif bind is not None and makes_tables(bind):
            opening: Any = self._inside("outbox", self._open_database)
            with ThreadPoolExecutor(1) as executor:  # the test's own event loop may be running, and waits for this
                executor.submit(asyncio.run, opening).result()

    @property
    def engine(self) -> Engine:
        """The engine of the kit's own outbox, for tests without an `outbox_bind`."""
        if self._bind is not None:
            raise with_chinese_note(TypeError("the outbox is in the database of your own outbox_bind; use that engine"))
        if self._own_engine is None:
            self._own_engine = own_engine(self._make_folder("outbox"))
            self._closing.callback(self._own_engine.dispose)
        return self._own_engine

    @property
    def url(self) -> str:
        """The URL of the kit's own outbox, for an application that creates its own engine."""
        return self.engine.url.render_as_string(hide_password=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the kit's own outbox, committed at its end."""
        with Session(self.engine) as session, session.begin():
            yield session

    # -- what the application enqueued -------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[EnqueuedJob]:
        """All jobs of the outbox, in the order they were enqueued."""
        return self._inside("jobs", self._jobs)

    def job(self, job: Any) -> EnqueuedJob:
        """Returns the current job of an id or a reference. Raises JobNotFound if there is none."""
        job_id = getattr(job, "id", job)

        def find() -> EnqueuedJob:
            for candidate in self._jobs():
                if candidate.id == job_id:
                    return candidate
            raise JobNotFound(f"no job {str(job_id)!r}; was its transaction committed?", job=str(job_id))

        return self._inside("job", find)

    @overload
    def assert_enqueued(
        self,
        account: str | None = None,
        message: Message | type[Message] | None = None,
        to: Recipient | None = None,
        *,
        containing: str | None = None,
        times: Literal[0],
        **options: Any,
    ) -> None: ...

    @overload
    def assert_enqueued(
        self,
        account: str | None = None,
        message: Message | type[Message] | None = None,
        to: Recipient | None = None,
        *,
        containing: str | None = None,
        times: int | None = None,
        **options: Any,
    ) -> EnqueuedJob: ...

    def assert_enqueued(
        self,
        account: str | None = None,
        message: Message | type[Message] | None = None,
        to: Recipient | None = None,
        *,
        containing: str | None = None,
        times: int | None = None,
        **options: Any,
    ) -> Any:
        """Asserts that such a job was enqueued, and returns the newest. Omitted arguments match anything.

        message: The whole message, or only its class.
        containing: A text that stands somewhere in the message.
        times: How many such jobs there must be; by default one or more.
        options: Further fields of a job: kind, state, priority, due_at, dedupe_key, order_key, tags, tenant, about.
        """
        if unknown := options.keys() - set(EnqueuedJob.__dataclass_fields__):
            raise with_chinese_note(TypeError(f"assert_enqueued() got an unexpected keyword argument {min(unknown)!r}"))
        expected = ExpectedJob(account, message, to, containing, options)

        def find() -> EnqueuedJob | None:
            __tracebackhide__ = True
            jobs = self._jobs()
            matching = [job for job in jobs if not expected.differences(job)]
            if (not matching and times != 0) or (times is not None and len(matching) != times):
                describe = partial(failure_text, expected, times, len(matching), jobs)
                raise with_chinese_note(AssertionError(describe("en")), describe)
            return matching[-1] if matching else None

        __tracebackhide__ = True
        return self._inside("assert_enqueued", find)

    # -- what the worker does -----------------------------------------------------------------------------------------

    def deliver(self, within: float = WITHIN_S) -> None:
        """Delivers all that is due and runs the hooks, until nothing is due. Raises the error of a hook.

        The clock moves over waits of the worker's own (a retry, a limit, a fault's doubt), `within` so many seconds. A
        job that was enqueued for later stays, until the test moves the clock.
        """
        return self._inside("deliver", lambda: self._get_worker().deliver(within))

    # -- what people do, and the vendor -------------------------------------------------------------------------------

    def inbox(self, whose: str) -> list[ShownMessage]:
        """Returns what a person or a chat has received, oldest first."""
        return messages_of(self._vendor.state, whose)

    def press(
        self,
        person: str,
        key: str,
        *,
        card: str | None = None,
        selected: Mapping[str, list[str]] | None = None,
        chat: str | None = None,
    ) -> None:
        """Presses a button of the newest card that a person sees, and delivers what follows, hooks included.

        card: The task_id of the card.
        selected: Question key -> ids of the chosen options.
        chat: The chat of a webhook's message, whose button is named by `key`.

        Raises ValueError if that is not possible: no such card or button, or disabled, or recalled.
        """

        def body() -> None:
            if chat is None:
                body = {"person": person, "key": key, "task_id": card, "selected": dict(selected or {})}
                self._control("press", body)
            else:
                posts = [post for post in reversed(self._vendor.state.webhook.posts) if post.chat == chat]
                if not posts:
                    raise with_chinese_note(ValueError(f"no message came to {chat}"))
                # Several webhooks may post to one chat.
                having = (post for post in posts if any(button["name"] == key for _, button in buttons(post)))
                webhook = next(having, posts[0]).key
                body = {"act": "click", "key": webhook, "chat": chat, "person": person, "name": key}
                self._control("webhook", body)

        return self._act_and_drain("press", body)

    def write(self, person: str, text: str, *, account: str) -> None:
        """Writes to the app of an account as a person, and delivers what follows, hooks included."""
        target = self.accounts.get(account)
        settings, secret = target.settings, target.secret.read() if target.secret else ""
        body: dict[str, Any] = {"act": "message", "person": person, "text": text}
        match target.channel:
            case "wecom_app":
                name, fields = "app", {"corpid": settings["corpid"], "agentid": settings["agentid"]}
            case "youdu":
                name, fields = "youdu_app", {"appid": settings["appid"]}
            case "wecom_webhook":
                name, fields = "webhook", {"key": secret, "chat": f"wo{person}"}
            case other:
                raise with_chinese_note(ValueError(f"people cannot write to an account of {other}"))
        return self._act_and_drain("write", lambda: self._control(name, {**body, **fields}))

    def fault(
        self,
        fault: str | int,
        *people: str,
        path: str | None = None,
        times: int | None = 1,
    ) -> None:
        """Makes the next calls fail.

        fault: A name (`timeout`, `answer lost`, `cut`, `unreachable`, `no json`, `busy`, `rate limit`, `token expired`,
            `wrong secret`, `untrusted ip`, `refused`), an HTTP status such as `"502"`, an errcode; or `refused
            recipients` with the ids of those who do not exist, from now on.
        path: Only calls of this path, such as `/cgi-bin/media/upload`; by default any but the fetching of a token.
        times: How many calls, or None for all.
        """
        if fault == "refused recipients":
            directory, youdu = self._vendor.settings.directory, self._vendor.settings.youdu
            directory.missing_users = [*directory.missing_users, *people]
            youdu.missing_users = [*youdu.missing_users, *people]
        else:
            self._vendor.fault(fault, path, times)

    def calls(self, path: str | None = None) -> list[LoggedCall]:
        """Returns the calls to the fake vendor, oldest first, without those that fetch a token."""
        return self._vendor.calls(path)

    @property
    def vendor(self) -> Any:
        """The fake vendor's settings. Change them before the calls; see docs/simulator.md."""
        return self._vendor.settings

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """Makes a control call, for actions without a function here; see docs/simulator.md."""
        return self._vendor.control(method, name, b"" if body is None else json.dumps(body).encode())

    # -- inside -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes what the kit has opened."""
        self._closing.close()

    def _inside(self, name: str, work: Callable[[], T]) -> T:
        """Runs work on the outbox. If the bind is asynchronous, it returns a coroutine of this name, not its result."""
        __tracebackhide__ = True

        def run() -> T:
            __tracebackhide__ = True
            try:
                return work()
            except DBAPIError as error:
                if not is_retryable(error):
                    raise
            raise with_chinese_note(AssertionError(STILL_OPEN))

        if hasattr(self._bind, "run_sync"):
            return cast(T, run_awaited(self._bind, name, lambda _: run()))
        return run()

    def _jobs(self) -> list[EnqueuedJob]:
        with self._open_database().reading() as connection:
            return [job_of_row(row) for row in enqueued_rows(connection)]

    def _open_database(self) -> Database:
        if self._database is None:
            bind = self.engine if self._bind is None else self._bind
            self._database = self._closing.enter_context(open_database(bind, self.clock.sql))
        return self._database

    def _get_worker(self) -> KitWorker:
        if self._worker is None:
            self._worker = KitWorker(
                self._open_database(), self.accounts, self._vendor, self.pages, self.clock, self._settings
            )
        return self._worker

    def _act_and_drain(self, name: str, run: Callable[[], Any]) -> None:
        """Runs an action, and delivers what follows."""

        def act_and_drain() -> None:
            run()
            self._get_worker().deliver(0.0)

        return self._inside(name, act_and_drain)

    def _control(self, name: str, body: Mapping[str, Any]) -> None:
        self.control("POST", name, body)

    def _receive(self, url: str, query: Mapping[str, str], body: bytes) -> None:
        self._get_worker().receive(url, query, body)


@contextmanager
def open_outbox(make_folder: Callable[[str], Path], bind: Any, source: SettingsSource) -> Iterator[KitOutbox]:
    """Yields the outbox of a test. Afterwards the process is as it was before."""
    outbox = KitOutbox(make_folder, bind, source)
    is_ours = not structlog.is_configured()
    if is_ours:
        # So that pytest shows the worker's log with a failed test, and not among what the application prints.
        structlog.configure(logger_factory=structlog.stdlib.LoggerFactory(), processors=[_line])
    try:
        with configured(outbox.accounts), replace_database_clock(outbox.clock.sql):
            yield outbox
    finally:
        outbox.close()
        if is_ours:
            structlog.reset_defaults()


def _line(logger: Any, name: str, event: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in event.items())
