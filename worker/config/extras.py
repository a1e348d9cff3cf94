"""Finds the extra of this package that contains a missing module, for the error message.

Read from the package's metadata, so that only pyproject.toml says what belongs to which extra.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires

from worker.domain.errors import ConfigurationError

PACKAGE = "im-delivery-worker"
_EXTRA = re.compile(r"""([\w.-]+).*extra == ["'](?!(?:dev|test)\b)(\w+)["']""")


def extra_of(module: str) -> str | None:
    """Returns the smallest extra with a distribution of this module's name, or None if no extra has it."""
    name = module.partition(".")[0].lower()
    try:
        matches = [match.groups() for match in map(_EXTRA.match, requires(PACKAGE) or ()) if match]
    except PackageNotFoundError:  # run from a folder that is not installed
        return None
    sizes = Counter(extra for _, extra in matches)
    extras = [
        extra for distribution, extra in matches if f"{distribution.lower().replace('-', '_')}_".startswith(f"{name}_")
    ]
    return min(extras, key=sizes.__getitem__, default=None)


@contextmanager
def naming_the_extra() -> Iterator[None]:
    """Raises ConfigurationError with the extra's name if the block misses a module of an extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = error.name or ""
        extra = extra_of(module)
        if extra is None:
            raise
        raise ConfigurationError(
            f"{module} is needed and not installed; run `pip install 'PATH[{extra}]'`, with the PATH of the"
            " wheel or checkout"
        ) from None
