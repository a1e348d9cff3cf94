"""All settings together, and how changes are merged into them."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from worker_simulator.settings.calls import (
    CallbackSettings,
    CardSettings,
    ChatSettings,
    DuplicateSettings,
    LimitSettings,
    RecallSettings,
)
from worker_simulator.settings.content import CodeSettings, MediaSettings
from worker_simulator.settings.external import ExternalSettings, SuiteRules
from worker_simulator.settings.people import AppSettings, DirectorySettings, SettingsGroup, TokenSettings
from worker_simulator.settings.webhook import WebhookSettings
from worker_simulator.settings.youdu import YouduSettings

Check = Literal["agent", "msgtype", "options", "body", "recipients"]
CHECKS: tuple[Check, ...] = get_args(Check)


class SimulatorSettings(SettingsGroup):
    """All settings of the simulator."""

    open: bool = True
    """Unknown corps exist: any corpid and secret make an app."""
    apps: list[AppSettings] = Field(default_factory=list)
    """The configured apps. A corp with one accepts only the secrets of its configured apps."""
    token: TokenSettings = Field(default_factory=TokenSettings)
    directory: DirectorySettings = Field(default_factory=DirectorySettings)
    duplicate: DuplicateSettings = Field(default_factory=DuplicateSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    recall: RecallSettings = Field(default_factory=RecallSettings)
    card: CardSettings = Field(default_factory=CardSettings)
    chat: ChatSettings = Field(default_factory=ChatSettings)
    callbacks: CallbackSettings = Field(default_factory=CallbackSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)
    codes: CodeSettings = Field(default_factory=CodeSettings)
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    external: ExternalSettings = Field(default_factory=ExternalSettings)
    suite: SuiteRules = Field(default_factory=SuiteRules)
    youdu: YouduSettings = Field(default_factory=YouduSettings)
    check_order: list[Check] = Field(default_factory=lambda: list(CHECKS))
    """(unconfirmed) In which order message/send and appchat/send look at a body, after token and IP."""
    task_id_reserved_s: float | None = None
    """(unconfirmed) For how many seconds a task_id cannot be used again, or None for ever."""
    latency_s: float = 0.0
    """Seconds before each answer."""
    latency_by_path: dict[str, float] = Field(default_factory=dict)
    """Path -> seconds before its answers, instead of `latency_s`."""
    keep_calls: int = 200_000
    """How many of the last calls `/_control/calls` returns. A change takes effect at the next reset."""
    keep_file_bytes: int = 64 << 20
    """How many bytes of the newest uploads the inbox can open."""

    @field_validator("check_order")
    @classmethod
    def _each_once(cls, order: list[Check]) -> list[Check]:
        if sorted(order) != sorted(CHECKS):
            raise ValueError(f"name each once: {', '.join(CHECKS)}")
        return order

    def merge(self, changes: dict[str, Any]) -> None:
        """Applies `changes`, nested as the settings are. Raises ValueError and changes nothing if one is invalid."""
        changed = SimulatorSettings.model_validate(_merged(self.model_dump(), changes))
        for name in SimulatorSettings.model_fields:
            setattr(self, name, getattr(changed, name))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for name, value in new.items():
        nested = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if nested else value
    return result
