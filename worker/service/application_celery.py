"""The application's own Celery app: from a hook its tasks reach its broker, as from its other processes.

Our app is never the current one nor the default one, or a shared task of the application would go into our queues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from celery import Celery, _state

from worker.domain.errors import ConfigurationError

NO_APP = (
    "no Celery app of the application is imported in this process, so its tasks have no broker; import it in the module"
    " of hooks"
)


class OwnCelery(Celery):  # type: ignore[misc]  # Celery has no types
    """Our app."""

    def set_current(self) -> None:
        """Does nothing; Celery's worker would make our app the current one of its thread."""

    def set_default(self) -> None:
        """Does nothing; Celery's worker would make our app that of all threads without a current one."""


class NoCelery(OwnCelery):
    """Stands for the application's app where there is none: whatever would send a task ends with a sentence."""

    def send_task(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuses to send."""
        raise ConfigurationError(NO_APP)

    def connection_for_write(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuses to connect."""
        raise ConfigurationError(NO_APP)

    connection_for_read = connection = connection_for_write


class ApplicationCelery:
    """The Celery app of the application's modules."""

    def __init__(self) -> None:
        self._loaded: Any = None
        self._none = NoCelery("none", set_as_current=False, fixups=[])

    def note(self) -> None:
        """Notes which app the application's modules have made current; called in the thread that loaded them."""
        self._loaded = next(filter(_is_applications, (_state._tls.current_app, _state.default_app)), None)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Makes it the current app of this thread, in which no task runs, as outside of a worker."""
        # What a task sends would name our task as its parent.
        before, task = _state._tls.current_app, _state.pop_current_task()
        _state._set_current_app(self._found())
        try:
            yield
        finally:
            _state._set_current_app(before)
            if task is not None:
                _state.push_current_task(task)

    def _found(self) -> Any:
        """The app of the loaded modules, or the only one that was made current in any thread since."""
        apps = [app for app in _state._get_active_apps() if app.set_as_current and _is_applications(app)]
        return self._loaded or (apps[0] if len(apps) == 1 else self._none)


def _is_applications(app: Any) -> bool:
    """False for None, for ours, and for the one that Celery makes by itself where there is no other."""
    is_celerys = app is not None and app.main == "default" and not app.set_as_current
    return app is not None and not is_celerys and not isinstance(app, OwnCelery)
