"""`python -m tools.sentences` lists what the program says to people."""

from __future__ import annotations

import pytest

from tools.sentences import Sentence, logged, main, translated


@pytest.mark.parametrize(
    "sentence",
    [
        Sentence("cli", "no jobs", "没有任务"),
        Sentence("words.state", "partial", "部分受理"),
        Sentence("console: frame.name", "Delivery console", "投递控制台"),
    ],
)
def test_each_table_is_listed(sentence: Sentence) -> None:
    """A sentence of a command, a single word and a word of a page stand in both languages."""
    assert sentence in list(translated())


def test_loud_log_calls_are_listed() -> None:
    """A warning stands with its file, level and event."""
    assert [one for one in logged() if one.source.startswith("worker/service/") and "queue_missing" in one.english]


def test_the_list_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    """A text keeps the lines that contain it."""
    main(["投递控制台"])

    assert capsys.readouterr().out == "console: frame.name\tDelivery console\t投递控制台\n"
