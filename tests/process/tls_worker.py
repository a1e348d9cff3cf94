"""A worker at debug level that trusts an authority of tests: `python -m tests.process.tls_worker PEM THREADS`."""

from __future__ import annotations

import sys

from rig.names import own_name
from worker.config.settings import load_settings
from worker.service.celery_app import make_app, start_worker
from worker.service.lifecycle import Replacements
from worker.transport.http import RequestsTransport


def main(authority: str, threads: int) -> int:
    """Runs the worker until it is told to end."""
    hooks = Replacements(transport=lambda: RequestsTransport(verify=authority))
    app = make_app(load_settings(), hooks)
    alone = {"without_mingle": True, "without_gossip": True}
    return start_worker(app, threads=threads, loglevel="DEBUG", hostname=own_name(), **alone)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
