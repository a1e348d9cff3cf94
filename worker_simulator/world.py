"""The whole state of the fake vendor, made from settings; reset makes a new one.

Does not know HTTP and what calls do with the state.
"""

from collections import Counter
from itertools import count
from typing import Protocol

from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_app.state.apps import AppBook
from worker_simulator.wecom_app.state.chats import ChatBook
from worker_simulator.wecom_app.state.directory import Directory
from worker_simulator.wecom_app.state.duplicates import Duplicates
from worker_simulator.wecom_app.state.inbox import Inbox
from worker_simulator.wecom_app.state.limits import Limits
from worker_simulator.wecom_app.state.media import MediaStore
from worker_simulator.wecom_app.state.sent import SentBook
from worker_simulator.wecom_external.tasks import TaskBook
from worker_simulator.wecom_suite.suites import SuiteBook
from worker_simulator.wecom_webhook.memory import Webhooks
from worker_simulator.wire.call_log import CallLog, KeptFiles, Rulings
from worker_simulator.wire.callbacks import Callbacks
from worker_simulator.wire.faults import FaultBook
from worker_simulator.youdu.memory import YouduState


class World:
    """Everything the simulator remembers."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.calls = CallLog(settings.keep_calls)
        self.faults = FaultBook()
        self.rulings = Rulings(self.clock)
        self.files = KeptFiles(settings)
        self.apps = AppBook(settings, self.clock)
        self.suites = SuiteBook(settings, self.clock, self.apps)
        self.directory = Directory(settings)
        self.limits = Limits(settings, self.clock, self.rulings)
        self.duplicates = Duplicates(settings)
        self.media = MediaStore(settings, self.clock, self.files)
        self.sent = SentBook()
        self.chats = ChatBook(settings)
        self.external = TaskBook(settings, self.clock)
        self.inbox = Inbox()
        self.webhook = Webhooks(settings, self.clock, self.files)
        self.youdu = YouduState(self.clock, self.inbox)
        self.callbacks = Callbacks(settings, self.clock, self.calls)
        self.in_flight: Counter[str] = Counter()
        self.controlled = 0
        """How many control calls may have changed something, so that a look can tell whether one did."""
        self._hints = count(1)

    def expire_media(self, which: str) -> int:
        """End the life of one media_id, or of `all`, wherever it is known; how many there were."""
        return sum(store.expire(which) for store in (self.media, self.webhook.media))

    def hint(self) -> str:
        """The 25 digits the vendor's support asks for."""
        return f"{int(self.clock.now()):010d}{next(self._hints):015d}"


class Controlled(Protocol):
    """What control needs of the simulator: its world, which reset replaces."""

    world: World
