"""Our Celery app, which only our settings set up, and how a hook sends its own tasks through the application's broker.

Our own Celery app is never Celery's current or default app. Otherwise a shared task of the application would be
published to our queues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from celery import Celery, _state
from celery.app.utils import Settings as CelerySettings
from celery.loaders.app import AppLoader

from worker.domain.errors import ConfigurationError

NO_APP = (
    "the application's Celery app is not imported in this process, so its tasks have no broker;"
    " import it in the module of hooks"
)


class OwnLoader(AppLoader):  # type: ignore[misc]  # Celery has no types
    """A loader without a configuration of its own."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        """Returns nothing. Celery would import what CELERY_CONFIG_MODULE names."""
        return {}


class OwnSettings(CelerySettings):  # type: ignore[misc]  # as above
    """Celery's settings as we set them. Celery's own prefer CELERY_BROKER_URL and its like in the environment."""

    broker_url = property(lambda self: self.first("broker_url"))
    broker_read_url = broker_write_url = broker_url
    result_backend = property(lambda self: self.first("result_backend"))


class OwnCelery(Celery):  # type: ignore[misc]  # as above
    """Our Celery app. It never becomes the current or the default one, and reads nothing but our settings."""

    def __init__(self, name: str, **options: Any):
        # Without fixups: Celery's own would set up Django as soon as DJANGO_SETTINGS_MODULE is set.
        super().__init__(name, loader=OwnLoader, fixups=[], set_as_current=False, **options)
        object.__setattr__(self.conf, "__class__", OwnSettings)  # an ordinary assignment would add a setting

    def set_current(self) -> None:
        """Does nothing. Without this, Celery's worker would make our app the current one of its thread."""

    def set_default(self) -> None:
        """Does nothing. Without this, our app would serve all threads that have no current app."""


class NoCelery(OwnCelery):
    """Stands in for the application's app where it has none, and raises a ConfigurationError when a task is sent."""

    def send_task(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises ConfigurationError."""
        raise ConfigurationError(NO_APP)

    def connection_for_write(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises ConfigurationError."""
        raise ConfigurationError(NO_APP)

    connection_for_read = connection = connection_for_write


class ApplicationCelery:
    """Finds the application's Celery app and makes it the current one while a hook runs."""

    def __init__(self) -> None:
        self._loaded: Any = None
        self._none = NoCelery("none")

    def remember_current(self) -> None:
        """Remembers the app that the application's modules have made current. Runs in the thread that loaded them."""
        self._loaded = next(filter(_belongs_to_application, (_state._tls.current_app, _state.default_app)), None)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes the application's app the current one of this thread, and hides our task, until the block ends."""
        # Otherwise a task that the hook sends would name our task as its parent.
        before, task = _state._tls.current_app, _state.pop_current_task()
        _state._set_current_app(self._application_app())
        try:
            yield
        finally:
            _state._set_current_app(before)
            if task is not None:
                _state.push_current_task(task)

    def _application_app(self) -> Any:
        """Returns the app of the loaded modules, or else the only app that any thread has made current since."""
        apps = [app for app in _state._get_active_apps() if app.set_as_current and _belongs_to_application(app)]
        return self._loaded or (apps[0] if len(apps) == 1 else self._none)


def _belongs_to_application(app: Any) -> bool:
    """Returns False for None, for our app, and for the default app that Celery makes when there is no other."""
    is_default = app is not None and app.main == "default" and not app.set_as_current
    return app is not None and not is_default and not isinstance(app, OwnCelery)
