"""The logger of a module that commands load: few of them log a line, and structlog brings Rich and more."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class Logger:
    """Structlog's logger, loaded with the first line."""

    @cached_property
    def _logger(self) -> Any:
        import structlog

        return structlog.get_logger()

    def __getattr__(self, level: str) -> Any:
        return getattr(self._logger, level)
