"""The table of the commands that change jobs, their lanes, their events and what is stored of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from worker.control.command import Command

PLACES = {
    "cancel": "cancel.COMMAND",
    "correct": "correct.COMMAND",
    "move": "move.COMMAND",
    "recall": "recall.COMMAND",
    "replay": "replay.COMMAND",
    "reschedule": "reschedule.COMMAND",
    "resolve": "resolve.COMMAND",
    "pause_jobs": "pause.PAUSE_JOBS",
    "resume_jobs": "pause.RESUME_JOBS",
    "skip": "lift.SKIP",
    "pause": "pause.PAUSE",
    "resume": "pause.RESUME",
    "lift": "lift.LIFT",
    "retry": "lift.RETRY",
    "acknowledge": "lift.ACKNOWLEDGE",
    "erase": "erase.COMMAND",
    "fence": "fence.COMMAND",
}
"""Name -> file of this folder and constant."""


class _Commands(Mapping[str, Command]):
    """Imports a command's file when the command is asked for: the command line asks for one."""

    def __getitem__(self, name: str) -> Command:
        file, constant = PLACES[name].split(".")
        command: Command = getattr(import_module(f"worker.control.{file}"), constant)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


COMMANDS: Mapping[str, Command] = _Commands()
"""By name."""
