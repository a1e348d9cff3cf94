"""The table of channels, one line each: where the code of a channel is. Its folder has the rest.

Another distribution adds a channel by an entry point of the group `worker.channels` (docs/channels.md).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from worker.domain.errors import ConfigurationError

WECOM = "https://qyapi.weixin.qq.com"
GROUP = "worker.channels"
"""The group of entry points: the name of one is that of its channel, its value names a module and the class there."""


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

    def load(self) -> Any:
        """Imports the class of the channel."""
        return getattr(importlib.import_module(f"{self.package}.channel"), self.class_name)


@dataclass(frozen=True, slots=True)
class OutsideEntry(ChannelEntry):
    """A channel of another distribution. `package` is the module that has its class and its messages."""

    distribution: str
    """The distribution that adds it."""

    def load(self) -> Any:
        """Imports the class. Raises ConfigurationError, which names the distribution, if that is not possible."""
        try:
            return getattr(importlib.import_module(self.package), self.class_name)
        except Exception as error:
            text = f"{self.package}:{self.class_name} of {self.distribution} cannot be imported"
            remedy = "install a release of it that fits this worker, or uninstall it"
            raise ConfigurationError(f"{text} ({type(error).__name__}: {error}); {remedy}") from error


@dataclass(frozen=True, slots=True)
class AmbiguousEntry(ChannelEntry):
    """A channel that two distributions add. Neither is taken."""

    distributions: tuple[str, str]

    def load(self) -> Any:
        """Raises ConfigurationError."""
        first, second = self.distributions
        raise ConfigurationError(f"the channel is both {first}'s and {second}'s; uninstall one of the two")


REGISTRY: Mapping[str, ChannelEntry] = {
    "wecom_app": ChannelEntry("worker.channels.wecom_app", "WecomApp", WECOM, public_module="wecom_app"),
    "wecom_webhook": ChannelEntry("worker.channels.wecom_webhook", "WecomWebhook", WECOM, public_module="webhook"),
    "wecom_external": ChannelEntry("worker.channels.wecom_external", "WecomExternal", WECOM, public_module="external"),
    "wecom_suite": ChannelEntry("worker.channels.wecom_suite", "WecomSuite", WECOM, public_module=None),
    "youdu": ChannelEntry("worker.channels.youdu", "Youdu", None, public_module="youdu"),
}
"""The channels of this package."""


@cache
def channel_entries() -> Mapping[str, ChannelEntry]:
    """Returns all channels by name, with those of other distributions. One that has a name of ours is ignored."""
    found: dict[str, ChannelEntry] = dict(REGISTRY)
    for point in entry_points(group=GROUP):
        distribution = (point.dist and point.dist.name) or "a distribution without a name"
        other = found.get(point.name)
        if point.name in REGISTRY:
            text = f"channel {point.name!r} of {distribution} is ignored: this worker has one of that name; rename it"
            warnings.warn(text, stacklevel=2)
        elif isinstance(other, OutsideEntry):
            pair = (other.distribution, distribution)
            found[point.name] = AmbiguousEntry(point.module, point.attr, None, None, pair)
        elif other is None:
            found[point.name] = OutsideEntry(point.module, point.attr, None, point.module, distribution)
    return found


def host_of(name: str) -> str | None:
    """Returns the vendor's public host, or None if there is none. An unknown channel has an empty one."""
    entry = channel_entries().get(name)
    if entry is None:
        return ""
    host: str | None = entry.host if name in REGISTRY else entry.load().host
    return host
