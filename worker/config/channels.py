"""The table of channels, one line each: where to find a channel's code. What it does is in its own folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WECOM = "https://qyapi.weixin.qq.com"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a channel lives."""

    home: str
    """Its package: messages, and the module `channel` with its class."""
    kind: str
    """The class's name."""
    host: str | None
    """The vendor's own host; None: every customer runs its own."""
    door: str | None
    """The name in `worker` of the module with its messages; None: it sends none."""


REGISTRY: Mapping[str, Entry] = {
    "wecom_app": Entry("worker.channels.wecom_app", "WecomApp", WECOM, door="wecom_app"),
    "wecom_webhook": Entry("worker.channels.wecom_webhook", "WecomWebhook", WECOM, door="webhook"),
    "wecom_external": Entry("worker.channels.wecom_external", "WecomExternal", WECOM, door="external"),
    "wecom_suite": Entry("worker.channels.wecom_suite", "WecomSuite", WECOM, door=None),
    "youdu": Entry("worker.channels.youdu", "Youdu", None, door="youdu"),
}
