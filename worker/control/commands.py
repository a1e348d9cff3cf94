"""The table of the commands on jobs."""

from __future__ import annotations

from collections.abc import Mapping

from worker.control import cancel, correct, recall, replay, reschedule, resolve
from worker.control.command import Command

COMMANDS: Mapping[str, Command] = {
    module.COMMAND.name: module.COMMAND for module in (cancel, correct, recall, replay, reschedule, resolve)
}
"""By name."""
