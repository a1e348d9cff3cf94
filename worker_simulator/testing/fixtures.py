"""The types of the kit's fixtures, for the annotations of tests.

`outbox` is a `KitOutbox`, and `clock` a `KitClock`; the others are methods of the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal, Protocol, TypeAlias, overload

from worker.domain.content.message import Message
from worker.producer.plan import Recipient
from worker_simulator.testing.inbox import ShownMessage
from worker_simulator.testing.jobs import EnqueuedJob

KitInbox: TypeAlias = Callable[[str], list[ShownMessage]]
"""The fixture `inbox`; see `KitOutbox.inbox`."""


class KitDeliver(Protocol):
    """The fixture `deliver`; see `KitOutbox.deliver`."""

    def __call__(self, within: float = 600.0) -> None:
        """Delivers all that is due."""


class KitAssertEnqueued(Protocol):
    """The fixture `assert_enqueued`; see `KitOutbox.assert_enqueued`."""

    @overload
    def __call__(
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
    def __call__(
        self,
        account: str | None = None,
        message: Message | type[Message] | None = None,
        to: Recipient | None = None,
        *,
        containing: str | None = None,
        times: int | None = None,
        **options: Any,
    ) -> EnqueuedJob: ...


class KitPress(Protocol):
    """The fixture `press`; see `KitOutbox.press`."""

    def __call__(
        self,
        person: str,
        key: str,
        *,
        card: str | None = None,
        selected: Mapping[str, list[str]] | None = None,
        chat: str | None = None,
    ) -> None:
        """Presses a button of the newest card that a person sees."""


class KitFaults(Protocol):
    """The fixture `faults`; see `KitOutbox.fault`."""

    def __call__(self, fault: str | int, *people: str, path: str | None = None, times: int | None = 1) -> None:
        """Makes the next calls fail."""


class AsyncKitOutbox(Protocol):
    """The fixture `outbox` of an asynchronous `outbox_bind`: what has to be awaited of a `KitOutbox`."""

    inbox: KitInbox
    fault: KitFaults

    @property
    def jobs(self) -> Coroutine[Any, Any, list[EnqueuedJob]]:
        """All jobs of the outbox."""

    def job(self, job: Any) -> Coroutine[Any, Any, EnqueuedJob]:
        """Returns the current job of an id or a reference."""

    def deliver(self, within: float = 600.0) -> Coroutine[Any, Any, None]:
        """Delivers all that is due."""

    def assert_enqueued(
        self,
        account: str | None = None,
        message: Message | type[Message] | None = None,
        to: Recipient | None = None,
        *,
        containing: str | None = None,
        times: int | None = None,
        **options: Any,
    ) -> Coroutine[Any, Any, EnqueuedJob]:
        """Asserts that such a job was enqueued."""

    def press(
        self,
        person: str,
        key: str,
        *,
        card: str | None = None,
        selected: Mapping[str, list[str]] | None = None,
        chat: str | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Presses a button of the newest card that a person sees."""

    def write(self, person: str, text: str, *, account: str) -> Coroutine[Any, Any, None]:
        """Writes to the app of an account as a person."""
