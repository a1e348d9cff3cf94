"""The whole state of the fake vendor: apps, messages, limits, faults and call log.

A reset replaces it with a new one.
"""

from collections import Counter
from itertools import count
from typing import Any, Protocol

from worker_simulator.clock import Clock
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_app.state.apps import AppStore
from worker_simulator.wecom_app.state.chats import ChatStore
from worker_simulator.wecom_app.state.directory import Directory
from worker_simulator.wecom_app.state.duplicates import Duplicates
from worker_simulator.wecom_app.state.inbox import Inbox
from worker_simulator.wecom_app.state.limits import Limits
from worker_simulator.wecom_app.state.media import MediaStore
from worker_simulator.wecom_app.state.sent import SentMessages
from worker_simulator.wecom_external.tasks import TaskStore
from worker_simulator.wecom_suite.suites import SuiteStore
from worker_simulator.wecom_webhook.memory import Webhooks
from worker_simulator.wire.call_log import CallLog, RecentFiles, Rulings
from worker_simulator.wire.callbacks import Callbacks
from worker_simulator.wire.faults import FaultRules
from worker_simulator.youdu.memory import YouduState


class VendorState:
    """Everything that the simulator stores."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.calls = CallLog(settings.keep_calls)
        self.faults = FaultRules()
        self.rulings = Rulings(self.clock)
        self.files = RecentFiles(settings)
        self.apps = AppStore(settings, self.clock)
        self.suites = SuiteStore(settings, self.clock, self.apps)
        self.directory = Directory(settings)
        self.limits = Limits(settings, self.clock, self.rulings)
        self.duplicates = Duplicates(settings)
        self.media = MediaStore(settings, self.clock, self.files)
        self.sent = SentMessages()
        self.chats = ChatStore(settings)
        self.external = TaskStore(settings, self.clock)
        self.inbox = Inbox()
        self.webhook = Webhooks(settings, self.clock, self.files)
        self.youdu = YouduState(self.clock, self.inbox)
        self.callbacks = Callbacks(settings, self.clock, self.calls)
        self.outside: dict[str, Any] = {}
        """What the handlers of other packages store, each under a name of its own."""
        self.in_flight: Counter[str] = Counter()
        self.control_calls = 0
        """The number of control calls other than GET. Open pages compare it to notice changes."""
        self._hints = count(1)

    def expire_media(self, which: str) -> int:
        """Expires one media_id, or all with `all`, of apps and webhooks. Returns how many were expired."""
        return sum(store.expire(which) for store in (self.media, self.webhook.media))

    def hint(self) -> str:
        """Returns a new hint: the 25 digits in an errmsg that the vendor's support needs."""
        return f"{int(self.clock.now()):010d}{next(self._hints):015d}"


class StateHolder(Protocol):
    """The simulator, as control calls see it: an object with the current state, which a reset replaces."""

    state: VendorState
