"""The keywords that each function which enqueues shares: stated once, explained in its help, and no other is taken."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from sqlalchemy import NullPool, create_engine

import worker
from worker.producer.options import Options

ENQUEUES = (
    worker.enqueue,
    worker.upload,
    worker.recall,
    worker.recall_message,
    worker.update_card,
    worker.update_card_by_code,
    worker.remind,
)
OF_THE_CALL = {"bind", "accounts", "clock"}
OWN = {"order_key", "on_gap", "on_unknown", "quiet_hours", "overflow"}
"""Keywords of `enqueue` alone."""


def test_the_keywords_are_the_options() -> None:
    """Those of `enqueue` and the shared ones are all fields of a job's options."""
    shared = set(worker.JobOptions.__annotations__) - OF_THE_CALL

    assert {field.name for field in fields(Options)} == shared | OWN


@pytest.mark.parametrize("function", ENQUEUES, ids=lambda function: function.__name__)
def test_the_help_explains_each_keyword(function: object) -> None:
    """The shared ones, and those that are the function's own."""
    text = inspect.getdoc(function) or ""

    assert [] == [name for name in worker.JobOptions.__annotations__ if f"\n{name}: " not in text]


def test_the_help_of_enqueue_explains_its_own_keywords() -> None:
    """In the same form."""
    text = inspect.getdoc(worker.enqueue) or ""

    assert [] == [name for name in OWN if f"\n{name}: " not in text]


@pytest.mark.parametrize("function", [*ENQUEUES, worker.get_job, worker.replay], ids=lambda function: function.__name__)
def test_the_help_shows_a_session(function: object) -> None:
    """Callers give theirs, and never see the connection that is taken out of it."""
    assert "session" == next(iter(inspect.signature(function).parameters))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["prioritty", "keywords", "order"])
def test_a_wrong_keyword_is_named(wrong: str) -> None:
    """With the function that it was given to."""
    with (
        create_engine("sqlite://", poolclass=NullPool).connect() as connection,
        pytest.raises(TypeError, match=rf"recall\(\) got an unexpected keyword argument '{wrong}'"),
    ):
        worker.recall(connection, "no job", **{wrong: 1})
