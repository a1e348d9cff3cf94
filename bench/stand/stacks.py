"""The stacks a bench can be run on: those of the process tests, and whether their services answer."""

from __future__ import annotations

from collections.abc import Iterable

from rig.databases import answers
from rig.stacks import CROSSED, EMBEDDED, MARIADB, NEEDS, RABBITMQ, REDIS, STACKS

__all__ = ["CROSSED", "EMBEDDED", "MARIADB", "RABBITMQ", "REDIS", "STACKS", "missing_service"]


def missing_service(kinds: Iterable[str]) -> str:
    """A service of these stacks that does not answer; empty when all do."""
    needed = {service.name: service for kind in kinds for service in NEEDS[kind]}
    return next((name for name, service in needed.items() if not answers(service.url)), "")
