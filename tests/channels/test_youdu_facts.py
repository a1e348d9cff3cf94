"""Every row of the vendor's tables is a row of ours, which stands with the field of the typed message."""

from __future__ import annotations

import re
from typing import Any

import pytest
from wecom_app_facts import codes, rows, size
from youdu_samples import APPS, CHANNEL, account, draft, part, reply, said, text

from tests.support.each import each
from worker.channels.checking.row import AnyOf, Effect, FieldRule
from worker.channels.errcodes import Class
from worker.channels.youdu import Badge, check
from worker.channels.youdu.envelope import ERRCODES
from worker.channels.youdu.messages import OURS
from worker.channels.youdu.targets import TARGETS
from worker.domain.call import Access
from worker.domain.outcome import Parked, Rejected, Retry, StaleToken, Unknown, Wait

FIELDS = [row for row in rows("youdu/fields") if not row["field"].startswith("toAll")]
CLASSES = {
    "retry": Class.RETRY,
    "refresh": Class.TOKEN,
    "defer": Class.DEFER,
    "permanent": Class.PERMANENT,
    "config": Class.CONFIG,
}


def table_of(place: str) -> tuple[Any, ...]:
    """Our rows of a type."""
    return {"popWindow": check.WINDOW_ROWS, "badge": check.BADGE_ROWS}.get(place) or check.BODIES[place]


@each((row,) for row in FIELDS)
def test_every_field_is_ours(row: dict[str, str]):
    """Need, length, what happens beyond it, values and type of each row."""
    path, rule = row["field"], row["rule"]
    place = re.match(r"\w+", path)[0]
    if path == "badge.account":
        assert CHANNEL.split(
            draft(Badge(count=1).document(), draft(text()).recipients.__class__(users=("a", "b")))
        ) == [{"users": ["a"]}, {"users": ["b"]}]
        return
    own = path.removeprefix("badge.").removesuffix("[]")
    (ours,) = [one for one in table_of(place) if isinstance(one, FieldRule) and one.path == own]

    if row["required"].startswith("yes"):
        assert ours.required
    if row["required"] in ("no", "-"):
        assert not ours.required
    assert ours.blank == ("may be empty" in row["required"])
    if (most := size("characters", rule)) is not None:
        assert most == ours.max_utf16
        assert ("cut off" in rule) == (ours.effect is Effect.CUT)
    if (most := size("items", rule)) is not None:
        assert (1, most) == ours.entries
    if "integer" in rule or "seconds" in rule:
        assert ours.type is int
    values = tuple(int(one) for one in re.findall(r"(?<![\w.-])(\d)(?= (?:=|top|bottom|centre))", rule))
    if path == "popWindow.position":
        assert set(values) == set(ours.allowed)
    elif values and path.endswith(("action", "showFront")):
        assert sorted(values) == list(ours.allowed)


def test_url_or_tip():
    """A pop-up needs one of the two."""
    assert ("url", "tip") in [row.names for row in check.WINDOW_ROWS if isinstance(row, AnyOf)]


@pytest.mark.parametrize("row", rows("youdu/recipients"), ids=lambda row: row["field"])
def test_every_list_of_recipients_is_known(row: dict[str, str]):
    """With its maximum; `toGid` is undocumented and can only be set by the worker, which does not."""
    field = row["field"]
    assert field in OURS
    if (most := re.search(r"at most (\d+)", row["rule"])) is not None:
        assert {field: int(most[1])} == {one.field: one.maximum for one in TARGETS if one.field == field}


@pytest.mark.parametrize("row", rows("youdu/roles"), ids=lambda row: row["appId"])
def test_every_app_and_what_it_may_send(row: dict[str, str]):
    """An account can be any of the built-in apps; which of them takes a message the server says (100005)."""
    appid = row["appId"]
    if appid.startswith("self-built"):
        kinds = set(row["needed for"].replace(";", ",").split(", "))
        assert kinds - {"popwindow", "badge", "media"} == check.BODIES.keys() - APPS.keys()
        return
    assert CHANNEL.account_problems(account({"appid": appid})) == []
    assert {msgtype for msgtype, app in APPS.items() if app == appid} == APPS.keys() & set(row["needed for"].split())


def code_range(cell: str) -> list[int]:
    """`300205-300217` and `-1`."""
    first, last = re.fullmatch(r"(-?\d+)(?:-(\d+))?", cell).groups()
    return list(range(int(first), int(last or first) + 1))


CODED = [row for row in rows("youdu/errors") if row["code"] != "0"]


@each((row,) for row in CODED)
def test_every_code_is_in_the_catalogue(row: dict[str, str]):
    """With its class, and with something to do."""
    for code in code_range(row["code"]):
        ours = ERRCODES.find(code)
        assert ours is not None, code
        assert CLASSES[re.match(r"\w+", row["class"])[0]] is ours.kind, code
        assert ours.remedy
        assert str(code) in ERRCODES.explain(code)[0]


def test_no_code_of_ours_is_made_up():
    """Every row of the catalogue is one of the vendor's."""
    published = {code for row in CODED for code in code_range(row["code"])}

    assert published == {row.code for row in ERRCODES.rows}
    assert ERRCODES.find(100007) is None
    assert ERRCODES.explain(100007) is None


TRANSPORT = {
    "HTTP 500, 502, 504": [(status, Unknown) for status in (500, 502, 504)],
    "HTTP 503": [(503, Unknown)],  # for messages; see the test of uploads
    "HTTP 429": [(429, Unknown)],
    "HTTP 413": [(413, Unknown)],
    "HTTP 404, 405": [(404, Unknown), (405, Unknown)],
    "other 4xx": [(status, Unknown) for status in (400, 401, 403, 407, 408)],
    "200 but no JSON / no integer errcode": [(200, Unknown)],
}


@pytest.mark.parametrize("row", rows("youdu/transport"), ids=lambda row: row["condition"])
def test_every_answer_that_is_not_the_servers(row: dict[str, str]):
    """Whatever stands between answers in the server's place proves nothing: the message is in doubt."""
    for status, outcome in TRANSPORT.get(row["condition"], ()):
        verdict = CHANNEL.outcome(part(), account(), reply(b"<html>", status), Access("t", "k"))
        assert isinstance(verdict.outcome, outcome), status
    if row["condition"].startswith("errcode 0"):
        broken = CHANNEL.outcome(part({"type": "upload"}, {}), account(), said(0), ACCESS_OF_UPLOAD)
        assert isinstance(broken.outcome, Parked)
    assert row["condition"] in {*TRANSPORT, "errcode 0 but encrypt missing or undecryptable where expected"} or (
        "connect" in row["condition"]  # the transport's own; see tests/unit/transport/faults.md
    )


def test_no_row_is_left_out(capsys: pytest.CaptureFixture[str]):
    """The tests above read as many rows as the tables have."""
    names = ("fields", "recipients", "roles", "errors", "transport")
    written = {name: len(rows(f"youdu/{name}")) for name in names}

    with capsys.disabled():
        print(f"\nrows of Youdu's documentation checked: {sum(written.values())} {written}")
    assert written == {"fields": 52, "recipients": 5, "roles": 6, "errors": 71, "transport": 10}
    assert codes("200007") == {200007}


OUTCOMES = {
    Class.RETRY: Retry,
    Class.TOKEN: StaleToken,
    Class.DEFER: Wait,
    Class.PERMANENT: Rejected,
    Class.CONFIG: Parked,
}
ACCESS_OF_UPLOAD = Access("t", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


@each((row,) for row in ERRCODES.rows)
def test_every_code_becomes_the_outcome_of_its_class(row: Any):
    """And the reason says the code."""
    verdict = CHANNEL.outcome(part(), account(), said(row.code, "no"), ACCESS_OF_UPLOAD)

    assert isinstance(verdict.outcome, OUTCOMES[row.kind])
    assert str(row.code) in verdict.outcome.reason
    assert row.code == verdict.errcode
    if isinstance(verdict.outcome, Parked | Wait):
        assert row.scope is verdict.outcome.scope
