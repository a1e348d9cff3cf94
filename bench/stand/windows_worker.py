"""A worker whose limits have other windows: `python -m bench.stand.windows_worker THREADS NAME=SECONDS ...`.

An account may override every amount, no window; a bench that should end today needs a minute of ten seconds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

from rig.names import own_name
from worker.channels.wecom import limits as corp
from worker.channels.wecom_app import limits as app
from worker.channels.wecom_webhook import channel as webhook
from worker.config.settings import load_settings
from worker.domain.pacing.limit import Limit
from worker.service.celery_app import make_app, start_worker


def change_windows(windows: dict[str, int]) -> None:
    """Every limit of these names, wherever a channel holds it."""
    for module in (corp, app, webhook):
        for name, value in list(vars(module).items()):
            if isinstance(value, Limit | tuple):
                _change(module, name, value, windows)


def _change(module: ModuleType, name: str, value: object, windows: dict[str, int]) -> None:
    if isinstance(value, Limit):
        setattr(module, name, _with(value, windows))
    elif isinstance(value, tuple) and value and all(isinstance(one, Limit) for one in value):
        setattr(module, name, tuple(_with(one, windows) for one in value))


def _with(limit: Limit, windows: dict[str, int]) -> Limit:
    return replace(limit, window_s=windows.get(limit.name, limit.window_s))


def main(threads: int, *windows: str) -> int:
    """Runs the worker until it is told to end."""
    change_windows({name: int(seconds) for name, _, seconds in (one.partition("=") for one in windows)})
    app_ = make_app(load_settings())
    return start_worker(app_, threads=threads, hostname=own_name(), without_mingle=True, without_gossip=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
