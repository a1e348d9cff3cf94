"""The catalogue of error codes is the vendor's, in two languages, with what to do."""

from __future__ import annotations

import re

import pytest
from wecom_app_facts import FACTS, codes, rows
from wecom_app_samples import ACCESS, CHANNEL, account, part, reply

from tests.support.each import each
from worker.channels.errcodes import Class
from worker.channels.wecom.answer import ERRCODES
from worker.domain.outcome import Parked, Rejected, Retry, Scope, StaleToken, Wait

CODED = [
    row
    for row in rows("errors")
    if re.search(r"\d", row["code"]) and row["code"] not in ("0",) and "HTTP" not in row["code"]
]
CLASSES = ("retry", "token", "defer", "permanent", "config")
OUTCOMES = {
    Class.RETRY: Retry,
    Class.TOKEN: StaleToken,
    Class.DEFER: Wait,
    Class.PERMANENT: Rejected,
    Class.CONFIG: Parked,
}


def codes_of(row: dict[str, str]) -> set[int]:
    """Every code a row is about: runs, lists, `65xxx`; without those it calls unlisted."""
    cell = row["code"].replace("*new*", "")
    found = codes(cell) | {int(one) for one in re.findall(r"^-1$|^6000$", cell.strip())}
    found |= {int(stem) * 1000 + n for stem in re.findall(r"(\d\d)xxx", cell) for n in (0, 999)}
    unlisted = re.findall(r"\(?((?:\d{5}(?:, )?)+) unlisted", row["meaning"])
    return found - {code for text in unlisted for code in codes(text)}


def classes_of(row: dict[str, str], code: int) -> set[str]:
    """What the row says of one code: `permanent (90206, 90208: config)`, `n/a`."""
    cell = row["class"].partition("for self-built")[0]  # an account of ours is a self-built app
    for listed, other in re.findall(r"\(([\d, ]+): (\w+)\)", cell):
        if code in codes(listed):
            return {other}
    plain = re.sub(r"\([\d, ]+: \w+\)", "", cell)
    named = set(re.findall("|".join(CLASSES), plain))
    return named or {"permanent"}  # n/a: nothing a sender should meet, so a call that does has no second try


@each((row,) for row in CODED)
def test_every_row_is_in_the_catalogue(row: dict[str, str]):
    """Each code with its class, with something to do."""
    found = codes_of(row)

    assert found
    for code in found:
        ours = ERRCODES.find(code)
        assert ours is not None, code
        assert ours.kind.value in classes_of(row, code), code
        assert ours.remedy


@pytest.mark.parametrize("name", sorted(path.stem for path in FACTS.glob("*.md")))
def test_every_other_table_too(name: str):
    """Codes that stand anywhere in the facts are known."""
    text = (FACTS / f"{name}.md").read_text(encoding="utf-8")
    pages = set(re.findall(r"[Pp]ages? ([\d, and]+)", text))
    unlisted = {42032, 42034, 42048, 90205} | {code for page in pages for code in codes(page)}
    dates = {int(found) for found in re.findall(r"\d{5,}(?= bytes)", text)}

    missing = {code for code in codes(text) if ERRCODES.find(code) is None} - unlisted - dates

    assert missing == set()


def test_the_table_was_read_whole(capsys: pytest.CaptureFixture[str]):
    """As many rows and codes as there are."""
    with capsys.disabled():
        print(f"\nrows of error codes checked: {len(CODED)}, codes {sum(len(codes_of(row)) for row in CODED)}")

    assert 110 <= len(CODED) == len(rows("errors")) - 5  # three without a code, 0, and "anything else"


def test_each_class_is_what_happens():
    """A code's class in the catalogue is the outcome of a call that meets it; the exceptions are named."""
    special = {81013, 86008, 45035}  # 45035 is the lane's fault: it waits, and costs no attempt
    for row in ERRCODES.rows:
        code = row.code
        if code in special or ERRCODES.find(code) is not row:
            continue
        outcome = CHANNEL.outcome(part(), account(), reply({"errcode": code, "errmsg": "x"}), ACCESS).outcome
        assert isinstance(outcome, OUTCOMES[row.kind]), code
        if isinstance(outcome, Parked):
            assert (row.scope, row.remedy) == (outcome.scope, outcome.remedy)
    foreign = CHANNEL.outcome(part(), account(), reply({"errcode": 86008, "errmsg": "x"}), ACCESS).outcome
    assert isinstance(foreign, Rejected)


@pytest.mark.parametrize("code", [40001, 40014, 42001, 60020, 301042, 50003, 301002, 48002, 45009, 45033, 45036])
def test_refused_before_the_message_is_looked_at(code: int):
    """Its token, the caller's address, the app or a limit of calls: the duplicate check knows nothing of it."""
    assert ERRCODES.is_unseen(code)


@pytest.mark.parametrize("code", [-1, 6000, 45035, 40058, 40201, 81013, 43012, 60011, 90206, 42014, 40007, 31])
def test_perhaps_refused_after_the_message_was_looked_at(code: int):
    """The vendor does not say, or the code is about the message, its recipients or its type."""
    assert not ERRCODES.is_unseen(code)


def test_explained():
    """A code is explained in both languages; 40001 also as gettoken means it; an unknown one is not invented."""
    english, chinese = ERRCODES.explain(60020), ERRCODES.explain(60020, "zh")

    assert english[0] == "60020  the caller's IP is not trusted"
    assert chinese[0] == "60020  调用方 IP 不在企业可信IP中"
    assert "scope: the whole account" in english
    assert "企业可信IP" in chinese[3]
    assert ERRCODES.explain(40001)[-1].startswith("from gettoken: ")
    assert ERRCODES.explain(123456) is None
    assert Scope.ACCOUNT is ERRCODES.find(60020).scope
