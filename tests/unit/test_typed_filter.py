"""A filter that a person typed means what the options of the command line mean."""

from __future__ import annotations

from datetime import datetime

import pytest

from worker.cli.options import FILTER, INSTANT
from worker.domain.errors import CheckFailed
from worker.domain.job_filter import INSTANT_FORMAT, JobFilter


def test_typed_texts_are_the_fields_of_the_command_line() -> None:
    """Numbers, instants and several ids too; what was left empty is left out."""
    typed = {"account": " hr ", "errcode": "81013", "created_from": "2026-11-21T18:00:00+0800", "tag": "", "msgid": " "}
    since = datetime.strptime("2026-11-21T18:00:00+0800", INSTANT["formats"][0])

    assert JobFilter(account="hr", errcode=81013, created_from=since) == JobFilter.from_texts(typed)
    assert JobFilter(ids=["a" * 32, "b" * 32]) == JobFilter.from_texts({"ids": f"{'a' * 32}, {'b' * 32}"})
    assert JobFilter.from_texts({"account": " "}) is None


def test_the_formats_are_those_of_the_options() -> None:
    """An instant is typed alike in both."""
    assert [INSTANT_FORMAT] == INSTANT["formats"]
    assert set(JobFilter.__dataclass_fields__) == set(FILTER)


def test_what_is_no_value_is_said_with_an_example() -> None:
    """Of every such field at once."""
    with pytest.raises(CheckFailed) as told:
        JobFilter.from_texts({"errcode": "many", "created_from": "yesterday"})

    assert ["errcode", "created_from"] == [problem.field for problem in told.value.problems]
    assert "2026-11-21T18:00:00+0800" in str(told.value)
