"""A hook's own tasks of Celery reach the application's broker, as outside of a hook, or fail with a sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import celery
import pytest
from celery import Celery, _state, current_app, current_task, group, shared_task
from celery.app import trace

from tests.unit.service.rooms import celery_restored
from worker.config.settings import Settings
from worker.domain.errors import ConfigurationError
from worker.service.application_celery import ApplicationCelery
from worker.service.celery_app import make_app


@shared_task(name="shop.count")  # type: ignore[misc]  # Celery has no types
def count(n: int) -> int:
    """A task that an application shares between its apps."""
    return n


@pytest.fixture
def own() -> Iterator[Any]:
    """Our app, as Celery's worker prepares it in its process's first thread."""
    apps, current = list(_state._apps), _state._tls.current_app
    _state._apps.clear()
    _state._set_current_app(None)
    with celery_restored():
        _state.set_default_app(None)
        made = make_app(Settings(broker="embedded"))
        trace.setup_worker_optimizations(made, "host")
        yield made
    _state._set_current_app(current)
    _state._apps.update(apps)


def shop(**options: Any) -> Any:
    """The application's app; what its tasks publish lies in a queue of the broker in its memory."""
    return Celery("shop", broker="memory://shop", **options)


def sent(app: Any) -> list[str]:
    """The names of the tasks in the app's queue."""
    names = []
    with app.connection_for_read() as connection, connection.SimpleQueue("celery") as queue:
        while len(queue):
            message = queue.get(block=False)
            message.ack()
            names.append(message.headers["task"])
    return names


def in_a_hook(found: ApplicationCelery, work: Callable[[], object]) -> None:
    """Runs in another thread than the one that loaded the modules, as hooks do, while our task runs there."""
    raised: list[BaseException] = []

    def run() -> None:
        _state.push_current_task(Celery("ours", set_as_current=False).task(in_a_hook))
        try:
            with found.current():
                work()
        except ConfigurationError as error:
            raised.append(error)
        finally:
            _state.pop_current_task()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


WAYS: dict[str, Callable[[], object]] = {
    "delay": lambda: count.delay(1),
    "apply_async": lambda: count.apply_async((1,), countdown=1),
    "send_task": lambda: current_app.send_task("shop.count", (1,)),
    "celery.current_app": lambda: celery.current_app.send_task("shop.count", (1,)),
    "a signature": lambda: count.s(1).apply_async(),
    "a chain": lambda: (count.s(1) | count.s()).apply_async(),
    "a group": lambda: group(count.s(1)).apply_async(),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_hook_sends_reaches_the_applications_broker(own: Any, way: str) -> None:
    """However it is sent; nothing lies in our queues."""
    app, found = shop(), ApplicationCelery()
    found.remember_current()
    sent(app)

    in_a_hook(found, WAYS[way])

    assert sent(app) == ["shop.count"]


@pytest.mark.parametrize("way", [name for name in WAYS if name != "a group"])
def test_without_an_app_of_the_application_it_fails_with_a_sentence(own: Any, way: str) -> None:
    """It would go to no broker, or to one on this machine that nobody named."""
    found = ApplicationCelery()
    found.remember_current()

    with pytest.raises(ConfigurationError, match="the application's Celery app is not imported in this process"):
        in_a_hook(found, WAYS[way])


def test_an_app_that_is_made_later_is_found(own: Any) -> None:
    """A hook may import it in its own lines; the next hook, in another thread, sends to it too."""
    found, made = ApplicationCelery(), list[Any]()
    found.remember_current()

    in_a_hook(found, lambda: (made.append(shop()), count.delay(1)))
    in_a_hook(found, lambda: count.delay(2))

    assert sent(made[0]) == ["shop.count", "shop.count"]


def test_an_app_that_is_the_default_one_is_found(own: Any) -> None:
    """`set_default` in place of `set_current`."""
    app, found = shop(set_as_current=False), ApplicationCelery()
    app.set_default()
    found.remember_current()
    sent(app)

    in_a_hook(found, lambda: count.delay(1))

    assert sent(app) == ["shop.count"]


def test_its_settings_are_the_applications_and_no_task_runs(own: Any) -> None:
    """As outside of a worker; afterwards the thread is as it was."""
    app, found = shop(), ApplicationCelery()
    app.conf.timezone = "Asia/Shanghai"
    found.remember_current()
    seen: list[Any] = []

    in_a_hook(found, lambda: seen.extend([current_app.conf.timezone, current_app.main, bool(current_task)]))

    assert seen == ["Asia/Shanghai", "shop", False]
    assert own.conf.timezone != "Asia/Shanghai"


def test_our_app_is_never_the_one_of_the_application(own: Any) -> None:
    """Neither of the thread in which the worker starts, nor of others; modules that are loaded there find their own."""
    in_main = _state._tls.current_app
    before = _state.default_app

    own.set_current()
    own.set_default()

    assert (in_main, before) == (None, None)
    assert own is not current_app._get_current_object()
