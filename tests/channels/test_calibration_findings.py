"""What calibration concludes from answers: nothing from those that tell nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.runtime import an_account
from worker.channels.calibration.app_follow_ups import recalls
from worker.channels.calibration.questions import FoundFact, Said, Subject
from worker.channels.calibration.wecom_app import CALIBRATION
from worker.control.calibration.notes import concluded
from worker.domain.account import Account

[DUPLICATES, *_] = CALIBRATION.windows


def found(account: Account, *codes: int) -> dict[str, FoundFact]:
    """What the question about recalls finds when the vendor answers with a msgid, and then with these codes."""
    asking, answers = recalls(Subject(account, "zhangsan", "r")), iter([Said(0, {"msgid": "m1"})])
    answered = iter([*answers, *(Said(code, {}) for code in codes)])
    try:
        next(asking)
        while True:
            asking.send(next(answered))
    except StopIteration as end:
        facts: Sequence[FoundFact] = end.value
        return {fact.fact: fact for fact in facts}


def test_a_recall_that_is_refused_says_nothing_of_a_second_one() -> None:
    """An app that may not recall would else count every refused recall as done."""
    told = found(an_account(), 48002, 48002)

    assert {} == told["a second recall"].settings
    assert told["a second recall"].value.startswith("not told")


def test_the_code_of_a_second_recall_is_a_setting() -> None:
    """When the first one took the message back."""
    assert {"recalled_code": 40050} == found(an_account(), 40050, 0, 40050)["a second recall"].settings


@pytest.mark.parametrize("seen", [[(108_000, False)], [(1_510, True)]])
def test_a_window_that_is_shorter_stays_so_without_proof(seen: list[tuple[int, bool]]) -> None:
    """What was shown to be forgotten is not relied on again because nothing was asked at its age."""
    account = an_account(settings={DUPLICATES.setting: 1_500})

    told = concluded(DUPLICATES, seen, account, is_open=False)

    assert told is not None
    assert {} == told.settings


def test_a_window_that_held_at_every_age_is_relied_on_again() -> None:
    """The account's shorter one goes."""
    account = an_account(settings={DUPLICATES.setting: 1_500})

    told = concluded(DUPLICATES, [(age, True) for age in DUPLICATES.ages], account, is_open=False)

    assert told is not None
    assert {DUPLICATES.setting: DUPLICATES.default_s} == told.settings
