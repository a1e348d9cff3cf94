"""One test over all rows of a table: a test a row costs more than most rows do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(rows: Iterable[tuple[Any, ...]]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Makes one test of a check, which takes the values of a row; it fails with every row that does not hold."""
    table = list(rows)
    assert table

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            failed = [f"{row}\n{error}" for row in table if (error := _error(check, row)) is not None]
            assert not failed, "\n\n".join([f"{len(failed)} of {len(table)} rows:", *failed])

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate


def _error(check: Callable[..., None], row: tuple[Any, ...]) -> BaseException | None:
    try:
        check(*row)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 # is told with its row, and the next is tried
        return error
    return None
