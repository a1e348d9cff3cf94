"""The logger for modules that commands load. Few of them log a line, and structlog imports Rich and more."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class Logger:
    """Structlog's logger, which is imported with the first line."""

    @cached_property
    def _logger(self) -> Any:
        import structlog

        return structlog.get_logger()

    def __getattr__(self, level: str) -> Any:
        return getattr(self._logger, level)
