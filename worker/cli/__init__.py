"""The command line: thin. Every command is a few lines over the layers below; errors are one sentence."""

from __future__ import annotations

import sys
from io import TextIOWrapper

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main() -> None:
    """The `worker` command."""
    from worker.config.extras import naming_the_extra
    from worker.domain.errors import ConfigurationError, WorkerError
    from worker.language import translate

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a GBK terminal has not every character of a message
    try:
        with naming_the_extra():
            from worker.cli.commands import app

            sys.exit(app.run())
    except ConfigurationError as error:
        _end(error.told(), EXIT_CONFIGURATION)
    except WorkerError as error:
        _end(error.told(), EXIT_FAILED)
    except UnicodeEncodeError:
        _end(translate("an argument is not UTF-8 text; type ids and names in UTF-8"), EXIT_FAILED)
    except Exception as error:
        from sqlalchemy.exc import SQLAlchemyError  # not before: `worker simulator` loads no SQL

        if not isinstance(error, SQLAlchemyError):
            raise
        _end(translate(_sentence(error)), EXIT_FAILED)


def _sentence(error: Exception) -> str:
    """The error in our own words: the driver's text may hold values of the statement."""
    from sqlalchemy.exc import DBAPIError

    from worker.outbox.engine.error_text import code_of, remedy_of

    remedy = remedy_of(error)
    if remedy is not None:
        return f"database: {remedy}"
    code = code_of(error.orig) if isinstance(error, DBAPIError) else None
    name = f"{type(error).__name__} {code}" if code else type(error).__name__
    return f"database: failed with {name}; check that it is running and that `worker db upgrade` was run"


def _end(sentence: str, status: int) -> None:
    sys.stderr.write(f"worker: {sentence}\n")
    sys.exit(status)
