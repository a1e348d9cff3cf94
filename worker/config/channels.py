"""The table of channels, one line each: where the code of a channel is. Its folder has the rest.

Another distribution adds a channel by an entry point of the group `worker.channels` (docs/channels.md).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from worker.domain.errors import ConfigurationError

WECOM = "https://qyapi.weixin.qq.com"
GROUP = "worker.channels"
"""The group of entry points: the name of one is that of its channel, its value names a module and the class there."""


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """Where the code of a channel is."""

    package: str
    """The package with its messages and the module `channel` with its class. From outside: the module of its class."""
    class_name: str
    """The name of its class."""
    host: str | None
    """The vendor's public host, or None if every customer runs its own. From outside: None, the class has it."""
    public_module: str | None
    """The name in `worker` of the module with its messages, or None if it sends none. From outside: the module."""
    distributions: tuple[str, ...] = ()
    """The distributions that add it from outside. Of several none is taken."""


REGISTRY: Mapping[str, ChannelEntry] = {
    "wecom_app": ChannelEntry("worker.channels.wecom_app", "WecomApp", WECOM, public_module="wecom_app"),
    "wecom_webhook": ChannelEntry("worker.channels.wecom_webhook", "WecomWebhook", WECOM, public_module="webhook"),
    "wecom_external": ChannelEntry("worker.channels.wecom_external", "WecomExternal", WECOM, public_module="external"),
    "wecom_suite": ChannelEntry("worker.channels.wecom_suite", "WecomSuite", WECOM, public_module=None),
    "youdu": ChannelEntry("worker.channels.youdu", "Youdu", None, public_module="youdu"),
}
"""The channels of this package."""


@cache
def outside_entries() -> Mapping[str, ChannelEntry]:
    """Returns the channels of other distributions by name. One that has the name of ours is ignored, with a warning."""
    from importlib.metadata import entry_points  # slow to import, and it reads every installed distribution

    found = dict[str, ChannelEntry]()
    for point in entry_points(group=GROUP):
        distribution = (point.dist and point.dist.name) or "a distribution without a name"
        module, _, class_name = point.value.partition(":")
        before = found[point.name].distributions if point.name in found else ()
        if point.name in REGISTRY:
            text = f"channel {point.name!r} of {distribution} is ignored: this worker has one of that name; rename it"
            warnings.warn(text, stacklevel=2)
        else:
            found[point.name] = ChannelEntry(module, class_name, None, module, (*before, distribution))
    return found


def entry_of(name: str) -> ChannelEntry | None:
    """Returns the entry of a channel, or None if there is no such channel."""
    return REGISTRY.get(name) or outside_entries().get(name)


def outside_class(entry: ChannelEntry) -> Any:
    """Imports the class of a channel of another distribution. Raises ConfigurationError if it cannot be used."""
    imported = _imported(entry)
    if isinstance(imported, str):
        raise ConfigurationError(imported)
    return imported


@cache
def _imported(entry: ChannelEntry) -> Any:
    """Returns the class, or why it cannot be used: a module that fails is not carried out again and again."""
    if len(entry.distributions) > 1:
        names = " and ".join(entry.distributions)
        return f"the channel is added by {names}; uninstall all but one"
    try:
        return getattr(importlib.import_module(entry.package), entry.class_name)
    except Exception as error:  # noqa: BLE001  a package of another author must stop its own accounts alone
        said = f"{type(error).__name__}: {error}"
        place, (distribution,) = f"{entry.package}:{entry.class_name}", entry.distributions
        remedy = "install a release that fits this worker, or uninstall it"
        return f"{place} of {distribution} cannot be imported ({said}); {remedy}"


def forget_outside() -> None:
    """Looks for the channels of other distributions again when they are needed next."""
    outside_entries.cache_clear()
    _imported.cache_clear()


def host_of(name: str) -> str | None:
    """Returns the vendor's public host, or None if there is none. An unknown channel has an empty one.

    Raises ConfigurationError if the channel is of another distribution and cannot be used.
    """
    entry = entry_of(name)
    if entry is None:
        return ""
    return getattr(outside_class(entry), "host", None) if entry.distributions else entry.host
