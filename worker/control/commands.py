"""The table of the commands that change jobs, their lanes, their events and what is stored of a person."""

from __future__ import annotations

from collections.abc import Mapping

from worker.control import cancel, correct, erase, fence, lift, pause, recall, replay, reschedule, resolve
from worker.control.command import Command

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        *(module.COMMAND for module in (cancel, correct, recall, replay, reschedule, resolve)),
        *(pause.HOLD, pause.RELEASE, lift.SKIP),
        *(pause.PAUSE, pause.RESUME, lift.LIFT, lift.RETRY),
        *(erase.COMMAND, fence.COMMAND),
    )
}
"""By name."""
