"""The command line. Each command is a few lines on top of the layers below, and each error is one sentence."""

from __future__ import annotations

import sys
from io import TextIOWrapper

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main() -> None:
    """Runs the `worker` command, and prints an error as one sentence with its exit status."""
    from worker.config.extras import naming_the_extra
    from worker.domain.errors import ConfigurationError, WorkerError
    from worker.language import translate

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a GBK terminal cannot show every character of a message
    try:
        with naming_the_extra():
            from worker.cli.commands import app

            sys.exit(app.run())
    except ConfigurationError as error:
        _end(error.localized(), EXIT_CONFIGURATION)
    except WorkerError as error:
        _end(error.localized(), EXIT_FAILED)
    except UnicodeEncodeError:
        _end(translate("an argument or environment variable is not UTF-8 text; give it in UTF-8"), EXIT_FAILED)
    except Exception as error:
        from sqlalchemy.exc import SQLAlchemyError  # not before: `worker simulator` loads no SQL

        if not isinstance(error, SQLAlchemyError):
            raise
        from worker.outbox.engine.error_text import description_of

        _end(translate(f"database: {description_of(error)}"), EXIT_FAILED)


def _end(sentence: str, status: int) -> None:
    from worker.language.visible import visible

    sys.stderr.write(f"worker: {visible(sentence)}\n")
    sys.exit(status)
