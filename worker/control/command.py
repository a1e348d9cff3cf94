"""Commands, each in the file of its functions. The command line and the console are made of what a command says.

A command is a function that changes its target, or a pair of functions: one finds jobs by the target, the other changes
what was found. The keywords of their own are the command's options. Knows neither the command line nor the console.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from functools import cache
from typing import Any, get_args

from worker.control.audit import CommandResult
from worker.control.job_status import JobStatus


class TargetKind(Enum):
    """What a command is about."""

    JOBS = auto()
    """The jobs of a JobFilter."""
    IDS = auto()
    """Jobs, by their ids alone."""
    JOB = auto()
    """One job, by its id."""
    SCOPE = auto()
    """What a pause is about: a JobFilter, or None for everything."""
    LANE = auto()
    """A lane, or an account and all its lanes, by its name."""
    PROCESS = auto()
    """A worker process, by its host and process id, such as `far 7`."""
    EVENT = auto()
    """An event of the hooks, by its id."""
    RECIPIENT = auto()
    """A person, by the id that the vendor has of them."""
    BACKUP = auto()
    """A restored backup, by the instant when it was made."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option, in the annotation of the keyword that takes it. From `name` on it is read from the function."""

    help: str
    no: str = ""
    """The other answer, of a question that the person has to answer: the keyword is True or False."""
    least: float | None = None
    is_beside_button: bool = False
    """Whether it is typed with the reason, as are all of the change but a question, which is asked first."""
    name: str = ""
    type: type = str
    """bool, float, datetime or str."""
    default: Any = None
    finds: bool = False
    """Whether it is one of the search, else of the change."""
    choices: tuple[str, ...] = ()
    """Its values, where there are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command."""

    name: str
    help: str
    target: TargetKind = TargetKind.JOBS
    typed_as: str = ""
    """What is typed for it in place of its name, before the target; empty where that is the name."""
    find: Callable[..., Any] | None = None
    """Takes the target, and keywords; returns what `run` takes, mostly a JobSelection. None if that is the target."""
    run: Callable[..., CommandResult]
    """Takes what was found, the person, the reason, and keywords."""
    question: str = ""
    """What is asked before the change, with places for the `count` of what was found, or for these `jobs`, and for an
    answer's `meaning`."""
    asks_from: int = 2
    """How many jobs or parts have to be found for the person to be asked."""
    nothing: str = ""
    """What is said where the search found nothing, or empty if it is carried out all the same."""
    lines: Callable[[CommandResult, Mapping[str, Any]], Iterable[str]] = lambda result, options: ()
    """Returns the sentences about a result, which may depend on the options."""
    done: tuple[str, ...]
    """The counts of a result that make it a success."""
    might_apply: Callable[[JobStatus], bool] | None = None
    """Returns whether the command has something to do about a job. None if it is not about jobs."""
    check: Callable[[Mapping[str, Any]], None] = lambda options: None
    """Raises CheckFailed for options of the change that cannot be meant, before anything is searched for."""
    is_about_ended: bool = False
    """Whether it is about jobs that have ended, too: its filter needs a time or ids, and takes no time of a call."""
    is_dangerous: bool = False
    """Whether people lose a message by it."""
    why: str = "The reason, in a few words; kept in the audit."
    needed_why: str | None = None
    """What to do about an empty reason, or None if it may be empty."""
    counted: str = "jobs"
    """What it finds: jobs, or parts."""

    @property
    def keywords(self) -> Mapping[str, Option]:
        """The options of the search and then those of the change, by name."""
        return _keywords(self.find, self.run)

    def notes(self, breakdown: Mapping[str, int], options: Mapping[str, Any]) -> dict[str, int]:
        """Returns what a preview counts. Parts behind others in an order go on only once these are not sent."""
        return {name: n for name, n in breakdown.items() if name != "ordered" or not options.get("sent")}

    def arguments(self, options: Mapping[str, Any], *, find: bool) -> dict[str, Any]:
        """Returns those of the options that the search takes, or the change."""
        return {name: value for name, value in options.items() if self.keywords[name].finds is find}


@cache
def _keywords(find: Callable[..., Any] | None, run: Callable[..., Any]) -> Mapping[str, Option]:
    found = {}
    for function in filter(None, (find, run)):
        finds = function is find
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            for option in getattr(parameter.annotation, "__metadata__", ()):
                # Those of a union, such as `float | None`.
                kinds = get_args(parameter.annotation.__origin__) or (parameter.annotation.__origin__,)
                found[name] = replace(
                    option,
                    is_beside_button=option.is_beside_button or not (finds or option.no),
                    name=name,
                    type=next((kind for kind in (bool, datetime, float) if kind in kinds), str),
                    default=False if option.no else parameter.default,
                    finds=finds,
                    choices=tuple(value for literal in kinds for value in get_args(literal)),
                )
    return found
