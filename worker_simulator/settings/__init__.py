"""Everything about the fake vendor that can be set, with a default for each point the vendor left unconfirmed.

Points marked (unconfirmed) are guesses about what the vendor's pages do not say; the worker has to be right under
every value. Does not know how any setting is carried out.
"""

from worker_simulator.settings.calls import (
    CallbackSettings,
    CardSettings,
    ChatSettings,
    DuplicateSettings,
    LimitSettings,
    RecallSettings,
)
from worker_simulator.settings.content import CodeSettings, MediaSettings
from worker_simulator.settings.external import ExternalSettings, SuiteRules, SuiteSettings
from worker_simulator.settings.people import AppSettings, DirectorySettings, SettingsGroup, TokenSettings
from worker_simulator.settings.webhook import WebhookKey, WebhookSettings
from worker_simulator.settings.whole import SimulatorSettings
from worker_simulator.settings.youdu import YouduSettings

__all__ = [
    "AppSettings",
    "CallbackSettings",
    "CardSettings",
    "ChatSettings",
    "CodeSettings",
    "DirectorySettings",
    "DuplicateSettings",
    "ExternalSettings",
    "LimitSettings",
    "MediaSettings",
    "RecallSettings",
    "SettingsGroup",
    "SimulatorSettings",
    "SuiteRules",
    "SuiteSettings",
    "TokenSettings",
    "WebhookKey",
    "WebhookSettings",
    "YouduSettings",
]
