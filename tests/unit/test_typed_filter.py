"""A filter that a person typed means what the options of the command line mean."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import get_args, get_type_hints

import pytest
from pydantic_core import to_json

from tests.support.odd import ODD
from worker.cli.options import FILTER
from worker.cli.times import PAST
from worker.domain.errors import CheckFailed
from worker.domain.job_filter import INSTANTS, JobFilter

NOW = datetime(2026, 11, 21, 18, tzinfo=UTC)
from_texts = partial(JobFilter.from_texts, now=NOW, zone=UTC)


def test_typed_texts_are_the_fields_of_the_command_line() -> None:
    """Numbers, instants and several ids too; what was left empty is left out."""
    typed = {"account": " hr ", "errcode": "81013", "created_from": "18:00", "tag": "", "msgid": " "}

    assert JobFilter(account="hr", errcode=81013, created_from=NOW) == from_texts(typed)
    assert JobFilter(ids=["a" * 32, "b" * 32]) == from_texts({"ids": f"{'a' * 32}, {'b' * 32}"})
    assert from_texts({"account": " "}) is None


def test_every_field_is_an_option_and_instants_are_read_alike() -> None:
    """By one parser, as times that have been."""
    parsers = {name: get_args(FILTER[name])[1].parser for name in INSTANTS}

    assert set(parsers.values()) == {PAST["parser"]}
    assert set(get_type_hints(JobFilter)) == set(FILTER)


def test_what_is_no_value_is_said_with_an_example() -> None:
    """Of every such field at once."""
    with pytest.raises(CheckFailed) as told:
        from_texts({"errcode": "many", "created_from": "some day"})

    assert [problem.field for problem in told.value.problems] == ["errcode", "created_from"]
    assert "yesterday 22:00" in str(told.value)


VALID = {"ids": ["a" * 32], "account": "hr", "errcode": 81013, "created_from": NOW, "state": "open", "tag": "lunch"}


def test_a_field_with_an_odd_value_is_valid_or_refused() -> None:
    """As a program may read it out of JSON; what is valid can be stored."""
    odd = [*ODD, "a", "a\x00", "a\ud800", NOW.replace(tzinfo=None), [5], ["a\x00", "a\ud800"]]
    refused = set()
    for name, value in product(JobFilter.__dataclass_fields__, odd):
        try:
            conditions = JobFilter(**{**VALID, name: value}).conditions()
        except CheckFailed as error:
            refused.add((name, error.problems[0].field))
        else:
            assert "\\u0000" not in to_json(conditions).decode()

    assert set(JobFilter.__dataclass_fields__) == {name for name, _ in refused}
    assert {(name, field) for name, field in refused if name != field} == {("ids", "job_id"), ("replay_of", "job_id")}
