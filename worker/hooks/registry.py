"""The application's hooks: how a function becomes one, how they are found, and which of them run for an event.

    # shop/hooks.py, named by hooks = "shop.hooks" in worker.toml
    @on_card_action
    def decided(action: CardPressed, session: Session) -> None:
        session.add(Decision(action.person, action.button))
        update_card(session, action.job_id, CardUpdate(replace_name="approved"), [action.person])

The session is in a transaction of its own, which the worker commits together with the event's end. What a hook does in
the session happens once, however often the hook runs; anything else it does may happen again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from worker.config.application import imported, require_callable
from worker.config.mistakes import did_you_mean
from worker.domain.callbacks.hook import (
    ANY_ACCOUNT,
    ENDED,
    CallbackReceived,
    CardPressed,
    HookEvent,
    JobDone,
    MessageReceived,
    Subscriptions,
    TagDone,
)
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.domain.mailing import EVERY_TAG, matches_tag
from worker.domain.state import JobState, State, states_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

OnCard: TypeAlias = "Callable[[CardPressed, Session], Any]"
OnDone: TypeAlias = "Callable[[JobDone, Session], Any]"
OnTag: TypeAlias = "Callable[[TagDone, Session], Any]"
OnMessage: TypeAlias = "Callable[[MessageReceived, Session], Any]"
OnCallback: TypeAlias = "Callable[[CallbackReceived, Session], Any]"
F = TypeVar("F", bound=Callable[..., Any])

D = TypeVar("D", bound=Callable[..., Any])

_MARK = "__worker_hook__"
_MARKS: Mapping[type[HookEvent], str] = {
    CardPressed: "on_card_action",
    JobDone: "on_job_done",
    TagDone: "on_tag_done",
    MessageReceived: "on_message",
    CallbackReceived: "on_callback",
}


@dataclass(frozen=True, slots=True)
class _Listens:
    """The events for which a marked function runs."""

    event: type[HookEvent]
    accounts: frozenset[str]
    """Empty: every account."""
    states: frozenset[JobState] = frozenset()
    events: frozenset[str] = frozenset()
    """The vendor's names; empty: every one."""
    tags: frozenset[str] = frozenset()
    """Tags, or beginnings and `*`."""

    def listens_to(self, heard: HookEvent) -> bool:
        """Whether the function runs for this event."""
        if not isinstance(heard, self.event):
            return False
        if isinstance(heard, TagDone):
            return matches_tag(self.tags, heard.tag)
        if self.accounts and heard.account not in self.accounts:
            return False
        match heard:
            case JobDone():
                return heard.state in self.states
            case CallbackReceived():
                return not self.events or heard.event in self.events
        return True


def _decorator(decorate: D) -> D:
    """Makes a decorator say which of its keywords is wrong: a TypeError of a module is told without its words."""

    @wraps(decorate)
    def checked(*functions: Any, **keywords: Any) -> Any:
        allowed = list(inspect.signature(decorate).parameters)[1:]
        name = decorate.__name__
        if len(functions) > 1:
            raise ConfigurationError(f"{name}: is for one function; give {', '.join(allowed)} by name")
        for wrong in keywords.keys() - allowed:
            remedy = did_you_mean(wrong, allowed)
            raise ConfigurationError(f"{name}: {wrong} is no keyword of it; {remedy}")
        return decorate(*functions, **keywords)

    del checked.__wrapped__  # it takes no session itself
    checked.__signature__ = inspect.signature(decorate)  # type: ignore[attr-defined]
    return cast("D", checked)


@overload
def on_card_action(function: OnCard) -> OnCard: ...


@overload
def on_card_action(*, accounts: Iterable[str]) -> Callable[[OnCard], OnCard]: ...


@_decorator
def on_card_action(function: OnCard | None = None, *, accounts: Iterable[str] = ()) -> Any:
    """Makes a function run for each press of a card of ours: a button, an entry of the menu, a submitted choice."""
    return _marked(function, _Listens(CardPressed, _names(accounts)))


@overload
def on_job_done(function: OnDone) -> OnDone: ...


@overload
def on_job_done(
    *, states: State | Iterable[State] = ..., accounts: Iterable[str] = ...
) -> Callable[[OnDone], OnDone]: ...


@_decorator
def on_job_done(
    function: OnDone | None = None, *, states: State | Iterable[State] = ENDED, accounts: Iterable[str] = ()
) -> Any:
    """Makes a function run for each job that ends in one of these states; `JobState.OPEN` is not an end."""
    try:
        wanted = frozenset(states_of("states", states))
    except CheckFailed as error:
        raise ConfigurationError(f"on_job_done: {error}") from None
    if not wanted or not wanted <= ENDED:
        raise ConfigurationError(
            "on_job_done: states holds what is no end of a job; use JobState.ACCEPTED, PARTIAL, ..."
        )
    return _marked(function, _Listens(JobDone, _names(accounts), wanted))


@overload
def on_tag_done(function: OnTag) -> OnTag: ...


@overload
def on_tag_done(*, tags: str | Iterable[str]) -> Callable[[OnTag], OnTag]: ...


@_decorator
def on_tag_done(function: OnTag | None = None, *, tags: str | Iterable[str] = EVERY_TAG) -> Any:
    """Makes a function run when the last open job with one of these tags has ended.

    `tags`: tags, or beginnings with `*` behind them; by default all but those that name a request. It is noticed some
    ten seconds later, and once, however many workers there are. With new jobs the tag may end again.
    """
    wanted = _names(tags)
    if not wanted or "" in wanted:
        raise ConfigurationError('on_tag_done: tags holds no tag; give one such as "mailing-*", or leave it out')
    return _marked(function, _Listens(TagDone, frozenset(), tags=wanted))


@overload
def on_message(function: OnMessage) -> OnMessage: ...


@overload
def on_message(*, accounts: Iterable[str]) -> Callable[[OnMessage], OnMessage]: ...


@_decorator
def on_message(function: OnMessage | None = None, *, accounts: Iterable[str] = ()) -> Any:
    """Makes a function run for each message that a person writes to one of these accounts."""
    return _marked(function, _Listens(MessageReceived, _names(accounts)))


@overload
def on_callback(function: OnCallback) -> OnCallback: ...


@overload
def on_callback(
    *, accounts: Iterable[str] = ..., events: Iterable[str] = ...
) -> Callable[[OnCallback], OnCallback]: ...


@_decorator
def on_callback(function: OnCallback | None = None, *, accounts: Iterable[str] = (), events: Iterable[str] = ()) -> Any:
    """Makes a function run for each callback that is neither a message nor a press of a card.

    `events` are the vendor's names, such as `subscribe`; none: all of them.
    """
    return _marked(function, _Listens(CallbackReceived, _names(accounts), events=_names(events)))


def _marked(function: F | None, listens: _Listens) -> Any:
    """The function with its mark, or what marks one that is given later; ConfigurationError if it can be no hook."""
    what = _MARKS[listens.event]

    def mark(given: F) -> F:
        require_callable(what, given, "event", "session")
        try:
            setattr(given, _MARK, listens)
        except AttributeError:
            raise ConfigurationError(f"{what}: {type(given).__name__} cannot be marked; write def") from None
        return given

    return mark if function is None else mark(function)


def _names(accounts: Iterable[str]) -> frozenset[str]:
    return frozenset({accounts} if isinstance(accounts, str) else accounts)


class ApplicationHooks:
    """The hooks of one process."""

    def __init__(self, functions: Collection[Callable[..., Any]] = ()):
        self._hooks: Sequence[tuple[Callable[..., Any], _Listens]] = [
            (function, getattr(function, _MARK)) for function in dict.fromkeys(functions)
        ]

    def __bool__(self) -> bool:
        return bool(self._hooks)

    @property
    def subscriptions(self) -> Subscriptions:
        """The events for which these hooks run. Ends of other jobs and tags are not stored as events."""
        ends: dict[str, frozenset[JobState]] = {}
        for _, listens in self._hooks:
            for account in (listens.accounts or {ANY_ACCOUNT}) if listens.states else ():
                ends[account] = ends.get(account, frozenset()) | listens.states
        return Subscriptions(
            frozenset(_MARKS[listens.event] for _, listens in self._hooks),
            ends,
            frozenset(tag for _, listens in self._hooks for tag in listens.tags),
        )

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts that hooks name. A hook without `accounts` runs for each."""
        return frozenset(account for _, listens in self._hooks for account in listens.accounts)

    def functions_for(self, heard: HookEvent) -> list[Callable[..., Any]]:
        """The functions for one event, in the order in which the module holds them."""
        return [function for function, listens in self._hooks if listens.listens_to(heard)]


def load_hooks(module: str) -> ApplicationHooks:
    """The marked functions of a module, if one is named; ConfigurationError when it has none or cannot be imported."""
    if not module:
        return ApplicationHooks()
    loaded = imported("hooks", module)
    # Statically: a module may hold objects that run code when an attribute is read.
    found = [one for one in vars(loaded).values() if isinstance(inspect.getattr_static(one, _MARK, None), _Listens)]
    if not found:
        raise ConfigurationError(
            f"hooks: module {module} holds no hook; mark functions with @on_card_action, @on_job_done, @on_tag_done,"
            " @on_message or @on_callback"
        )
    return ApplicationHooks(found)
