"""The keywords that each function which enqueues takes: explained in its help, and no other is taken."""

from __future__ import annotations

import inspect

import pytest
from sqlalchemy import NullPool, create_engine

import worker

ENQUEUES = (
    worker.enqueue,
    worker.upload,
    worker.recall,
    worker.recall_message,
    worker.update_card,
    worker.update_card_by_code,
    worker.remind,
    worker.track,
)


@pytest.mark.parametrize("function", ENQUEUES, ids=lambda function: function.__name__)
def test_the_help_explains_each_keyword(function: object) -> None:
    """Those of JobOptions by all of them, those of MessageOptions by `enqueue`."""
    text = inspect.getdoc(function) or ""
    options = worker.MessageOptions if function is worker.enqueue else worker.JobOptions

    assert [name for name in ["`accounts`", *options.__annotations__] if f"{name}: " not in text] == []


@pytest.mark.parametrize("function", [*ENQUEUES, worker.get_job, worker.replay], ids=lambda function: function.__name__)
def test_the_help_shows_a_session(function: object) -> None:
    """Callers give theirs, and never see the connection that is taken out of it."""
    assert next(iter(inspect.signature(function).parameters)) == "session"  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["prioritty", "options", "order", "order_key"])
def test_a_wrong_keyword_is_named(wrong: str) -> None:
    """With the function that it was given to; a recall has no order."""
    with (
        create_engine("sqlite://", poolclass=NullPool).connect() as connection,
        pytest.raises(TypeError, match=rf"{wrong}: is no keyword of recall\(\)"),
    ):
        worker.recall(connection, "no job", **{wrong: 1})


def test_a_wrong_keyword_of_a_new_job_is_named() -> None:
    """Before it is enqueued."""
    with pytest.raises(TypeError, match=r"ordr_key: is no keyword of NewJob\(\); did you mean order_key"):
        worker.NewJob("hr", worker.Text(content="hello"), ordr_key="a")  # type: ignore[call-arg]
