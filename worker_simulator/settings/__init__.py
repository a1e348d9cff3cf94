"""All settings of the fake vendor, with a default for each point that the vendor has not confirmed.

Points marked (unconfirmed) are guesses about what the vendor's pages do not say. The worker has to be right under every
value.
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
from worker_simulator.settings.simulator import SimulatorSettings
from worker_simulator.settings.webhook import WebhookKey, WebhookSettings
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
