"""The words of the console."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from tests.channels import wecom_app_samples, wecom_external_samples, wecom_webhook_samples, youdu_samples
from worker.channels.registry import channel
from worker.console.pages.accounts import limit_phrase
from worker.console.words import WORDS
from worker.domain.account import Account
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.language import term
from worker.reporting.wait import WaitReason

CONSOLE = Path(__file__).parents[3] / "worker" / "console"


def fields(text: str) -> set[str | None]:
    """What is filled in."""
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_a_word_is_in_both_languages_and_is_filled_in_alike() -> None:
    """No word is in one language only."""
    assert {key: words for key, words in WORDS.items() if not all(word.strip() for word in words)} == {}
    assert {key: (zh, en) for key, (zh, en) in WORDS.items() if fields(zh) != fields(en)} == {}


def test_templates_write_no_word_of_their_own() -> None:
    """Whatever a person reads is a word of both languages, or data."""
    written = [
        (path.name, text)
        for path in sorted((CONSOLE / "templates").glob("*.html"))
        for text in re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", _text_of(path.read_text(encoding="utf-8")))
    ]

    assert written == []


ACCOUNTS = [
    wecom_app_samples.account(),
    wecom_app_samples.account({"ip": "192.0.2.7", "chats_share_members": False}),
    wecom_external_samples.account(),
    wecom_webhook_samples.account(),
    wecom_webhook_samples.account("robot"),
    youdu_samples.account(),
]


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda one: one.channel)
@pytest.mark.parametrize("recipient", [None, "lisi"])
def test_a_limit_speaks_chinese(account: Account, recipient: str | None) -> None:
    """What it counts for, what is beyond it, and its source: no two English words stand in a row."""
    own = channel(account.channel)
    limits = [one.limit for one in own.counted(account, recipient)]
    texts = {one.subject_kind for one in own.counted(account, recipient)}
    texts |= {text for one in limits for text in (one.penalty, one.source)}

    told = {text: limit_phrase("zh", text) for text in texts}

    assert {text: said for text, said in told.items() if re.search(r"[a-z]{2,} [a-z]{2,}", said)} == {}
    assert texts == {limit_phrase("en", text) for text in texts}


def test_what_people_did_has_a_word() -> None:
    """Every action that the program writes into the audit, every step of a lane, and every state of one."""
    sources = [path.read_text(encoding="utf-8") for path in (CONSOLE.parent / "control").rglob("*.py")]
    begun = r'(?:audited\(|write_entry\(|action = )[^"(){}]*"([a-z_ ]+)"'
    actions = {action for source in sources for action in re.findall(begun, source)}

    assert {"cancel", "replay", "resume", "erase", "rotate account"} <= actions
    for sort, names in {"action": actions, "step": LaneEventKind, "state": LaneStatus}.items():
        assert [name for name in names if term(sort, name, "zh") == name] == []


def test_what_a_part_waits_for_has_a_word() -> None:
    """On a page in both languages, and on the command line, which shows the English name, in Chinese."""
    chinese = {str(what): term("what", what, "zh") for what in WaitReason}

    assert chinese == {str(what): WORDS[f"wait.{what}"][0] for what in WaitReason}
    assert [what for what, told in chinese.items() if told == what] == []


def _text_of(template: str) -> str:
    """What of a template stands between its tags."""
    without = re.sub(r"\{[%{#].*?[%}#]\}", " ", template, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", without, flags=re.DOTALL)
