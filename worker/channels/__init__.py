"""Vendor knowledge as pure functions; one folder a channel, one line each in `config/channels.py`."""

from __future__ import annotations

import importlib
from functools import cache

from worker.channels.base import Channel
from worker.config.channels import REGISTRY
from worker.domain.errors import ConfigurationError

_registered: dict[str, Channel] = {}


@cache
def _ours(name: str) -> Channel | None:
    """A channel of ours, imported when it is first asked for."""
    entry = REGISTRY.get(name)
    if entry is None:
        return None
    module, _, kind = entry.home.partition(":")
    made: Channel = getattr(importlib.import_module(module), kind)()
    return made


def channel(name: str) -> Channel:
    """The channel of this name; a wrong name is a ConfigurationError that lists the right ones."""
    found = _registered.get(name) or _ours(name)
    if found is None:
        known = ", ".join(sorted({*REGISTRY, *_registered}))
        raise ConfigurationError(f"channel {name!r} does not exist; use one of {known}")
    return found


def names() -> tuple[str, ...]:
    """Every channel of ours, in order."""
    return tuple(sorted(REGISTRY))


def register(added: Channel) -> None:
    """Adds a channel, or stands in for one of the same name; for tests and for channels kept elsewhere."""
    _registered[added.name] = added


def unregister(name: str) -> None:
    """Takes a registered channel away again; ours are there as before."""
    _registered.pop(name, None)
