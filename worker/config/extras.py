"""Which extra of this package brings a module that is not installed, and the sentence that says so.

Read from the package's own metadata, so that pyproject.toml alone says what belongs to which extra.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires

from worker.domain.errors import ConfigurationError

PACKAGE = "im-delivery-worker"
_OF_AN_EXTRA = re.compile(r"""([\w.-]+).*extra == ["'](?!(?:dev|test)\b)(\w+)["']""")


def extra_of(module: str) -> str | None:
    """The smallest extra with a distribution of this module's name; None: the module is none of ours."""
    name = module.partition(".")[0].lower()
    try:
        found = [one.groups() for one in map(_OF_AN_EXTRA.match, requires(PACKAGE) or ()) if one]
    except PackageNotFoundError:  # run from a folder that is not installed
        return None
    sizes = Counter(extra for _, extra in found)
    extras = [extra for given, extra in found if f"{given.lower().replace('-', '_')}_".startswith(f"{name}_")]
    return min(extras, key=sizes.__getitem__, default=None)


@contextmanager
def naming_the_extra() -> Iterator[None]:
    """Within it, a module that is missing for want of an extra is a ConfigurationError that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = error.name or ""
        extra = extra_of(module)
        if extra is None:
            raise
        raise ConfigurationError(
            f"{module} is not installed, which this needs; run `pip install '{PACKAGE}[{extra}]'`"
        ) from None
