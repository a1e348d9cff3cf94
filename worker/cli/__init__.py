"""The command line: thin. Every command is a few lines over the layers below; errors are one sentence."""

from __future__ import annotations

import sys

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main() -> None:
    """The `worker` command."""
    from worker.domain.errors import ConfigurationError, WorkerError

    try:
        _run()
    except ConfigurationError as error:
        _end(str(error), EXIT_CONFIGURATION)
    except WorkerError as error:
        _end(str(error), EXIT_FAILED)


def _run() -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from worker.cli.commands import app

    try:
        app()
    except SQLAlchemyError as error:
        # Its text may hold values of the statement.
        _end(f"the database said {type(error).__name__}; is it there, and `worker db upgrade` done?", EXIT_FAILED)


def _end(sentence: str, status: int) -> None:
    sys.stderr.write(f"worker: {sentence}\n")
    sys.exit(status)
