"""The table of channels, one line each: where the code of a channel is. Its folder has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WECOM = "https://qyapi.weixin.qq.com"


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """Where the code of a channel is."""

    package: str
    """Its package, with its messages, and the module `channel` with its class."""
    class_name: str
    """The name of its class."""
    host: str | None
    """The vendor's public host, or None if every customer runs its own."""
    public_module: str | None
    """The name in `worker` of the module with its messages, or None if it sends none."""


REGISTRY: Mapping[str, ChannelEntry] = {
    "wecom_app": ChannelEntry("worker.channels.wecom_app", "WecomApp", WECOM, public_module="wecom_app"),
    "wecom_webhook": ChannelEntry("worker.channels.wecom_webhook", "WecomWebhook", WECOM, public_module="webhook"),
    "wecom_external": ChannelEntry("worker.channels.wecom_external", "WecomExternal", WECOM, public_module="external"),
    "wecom_suite": ChannelEntry("worker.channels.wecom_suite", "WecomSuite", WECOM, public_module=None),
    "youdu": ChannelEntry("worker.channels.youdu", "Youdu", None, public_module="youdu"),
}
