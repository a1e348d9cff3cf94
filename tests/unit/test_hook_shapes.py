"""What cannot run as a hook is refused when it is marked, so when a process starts; `worker doctor` says the same."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.each import each
from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Level
from worker.config.places import UrlFrom
from worker.config.settings import Settings
from worker.delivery.resolver.members import load_resolver
from worker.domain.errors import ConfigurationError
from worker.hooks.registry import load_hooks, on_callback, on_card_action, on_job_done, on_message

DECORATORS = [on_card_action, on_message, on_callback, on_job_done, on_card_action(accounts=["hr"]), on_job_done()]


async def awaits(event: Any, session: Any) -> None: ...


async def awaits_and_yields(event: Any, session: Any) -> Any:
    yield


def yields(event: Any, session: Any) -> Any:
    yield


def none() -> None: ...


def one(event: Any) -> None: ...


def three(event: Any, session: Any, more: Any) -> None: ...


def by_name(event: Any, *, session: Any) -> None: ...


def by_name_too(event: Any, session: Any, *, more: Any) -> None: ...


def right(event: Any, session: Any) -> None: ...


class Shop:
    """Objects of it can be called."""

    def __call__(self, event: Any, session: Any) -> None: ...

    def decided(self, event: Any, session: Any) -> None: ...


class AsyncShop:
    async def __call__(self, event: Any, session: Any) -> None: ...


class YieldingShop:
    def __call__(self, event: Any, session: Any) -> Any:
        yield


class NarrowShop:
    def __call__(self, event: Any) -> None: ...


class SlottedShop:
    __slots__ = ()

    def __call__(self, event: Any, session: Any) -> None: ...


def through(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as applications have them."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


def adds(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds an argument, so that what it wraps has another shape than a hook."""

    @functools.wraps(function)
    def call(event: Any, session: Any) -> Any:
        return function(event, session, "more")

    return call


REFUSED = {
    "async": (awaits, "awaits is async, and nothing would await it; write def"),
    "async, in parts": (functools.partial(awaits), "is async"),
    "async, in more parts": (functools.partial(functools.partial(awaits, 1), 2), "is async"),
    "an async object": (AsyncShop(), "AsyncShop is async"),
    "an async generator": (awaits_and_yields, "is async"),
    "a generator": (yields, "yields is a generator, so a call would run nothing of it; take yield out"),
    "a generating object": (YieldingShop(), "YieldingShop is a generator"),
    "a generator in parts": (functools.partial(yields), "is a generator"),
    "no parameter": (none, r"none cannot be called with \(event, session\); give it these parameters"),
    "one parameter": (one, "one cannot be called"),
    "three parameters": (three, "three cannot be called"),
    "a session by name": (by_name, "by_name cannot be called"),
    "one more by name": (by_name_too, "by_name_too cannot be called"),
    "too few left": (functools.partial(right, 1), "partial cannot be called"),
    "too many left": (functools.partial(three), "partial cannot be called"),
    "a narrow object": (NarrowShop(), "NarrowShop cannot be called"),
    "a method without its object": (Shop.decided, "decided cannot be called"),
    "a class": (Shop, "Shop is not a function; write def"),
    "an account's name": ("hr", "str is not a function"),
    "a bound method": (Shop().decided, "on_.*: method cannot be marked; write def"),
    "an object with slots": (SlottedShop(), "on_.*: SlottedShop cannot be marked"),
    "a function of C": (max, "builtin_function_or_method cannot be marked"),
}


@each(product(DECORATORS, REFUSED))
def test_what_cannot_run_as_a_hook_is_refused_when_it_is_marked(decorator: Any, shape: str) -> None:
    """By every decorator, called or not, with a sentence that says what to change."""
    function, why = REFUSED[shape]

    with pytest.raises(ConfigurationError, match=why):
        decorator(function)


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize(
    "function",
    [
        right,
        lambda event, session: None,
        lambda *arguments: None,
        lambda event, session, more="": None,
        functools.partial(three, more=1),
        Shop(),
        through(right),
        adds(three),
    ],
)
def test_what_can_run_is_marked(decorator: Any, function: Callable[..., Any]) -> None:
    """Also where a decorator adds an argument."""
    assert function is decorator(function)


HOOKS = {
    "async_hooks": "async def decided(action, session): ...",
    "narrow_hooks": "def decided(action): ...",
    "generating_hooks": "def decided(action, session): yield",
}
SENTENCES = {
    "async_hooks": "decided is async",
    "narrow_hooks": r"decided cannot be called with \(event, session\)",
    "generating_hooks": "decided is a generator",
}


@pytest.mark.parametrize("module", HOOKS)
def test_a_process_does_not_start_with_such_a_hook_and_doctor_says_why(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence in both places, and status 1 of doctor."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"{module}.py").write_text(f"from worker import on_card_action\n@on_card_action\n{HOOKS[module]}\n")
    settings = Settings(database=UrlFrom(url=f"sqlite:///{tmp_path}/none.db"), hooks=module)

    [found] = [one for one in findings(lambda: settings) if one.what == "hooks"]
    with pytest.raises(
        ConfigurationError, match=rf"^hooks: module {module} .*: on_card_action: {module}.{SENTENCES[module]}"
    ) as refused:
        load_hooks(module)

    assert found.level == Level.PROBLEM
    assert str(refused.value) == f"hooks: {found.text}"
    assert module not in sys.modules


def test_a_function_that_names_members_has_a_shape_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the account, the departments and the tags."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "members_shapes.py").write_text(
        "def right(a, d, t): ...\nasync def later(a, d, t): ...\ndef few(a): ..."
    )

    assert load_resolver("members_shapes:right") is not None
    with pytest.raises(ConfigurationError, match=r"^members_of: members_shapes\.later is async"):
        load_resolver("members_shapes:later")
    with pytest.raises(ConfigurationError, match=r"few cannot be called with \(account, departments, tags\)"):
        load_resolver("members_shapes:few")


def test_asyncio_run_is_the_way_to_await_in_a_hook() -> None:
    """As the sentence says."""
    ran = []

    @on_card_action
    def decided(event: Any, session: Any) -> None:
        asyncio.run(awaits(event, session))
        ran.append(event)

    decided(1, 2)  # type: ignore[arg-type]
    assert ran == [1]
