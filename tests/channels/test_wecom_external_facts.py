"""Every row of the vendor's tables of group sends is a row of ours, which stands with the field of an attachment."""

from __future__ import annotations

import re

from wecom_app_facts import codes, rows, size
from wecom_external_samples import CHANNEL, coded, outcome, part

from tests.support.each import each
from worker.channels.checking.row import AnyOf, FieldRule
from worker.channels.wecom.answer import ERRCODES
from worker.channels.wecom_external.messages import ATTACHMENTS as MODELS, BODY
from worker.channels.wecom_external.targets import CUSTOMERS, GROUPS
from worker.domain.outcome import Parked, Rejected, Retry, StaleToken, Wait

FIELDS = [row for row in rows("external_fields") if "type.field" in row]
LISTS = {row["list"]: row for row in rows("external_fields") if "list" in row}


@each((row,) for row in FIELDS)
def test_every_field_is_ours(row: dict[str, str]):
    """Need, limit, upload type and codes of each row."""
    place, _, name = row["type.field"].partition(".")
    path = row["type.field"] if place == "text" else f"attachments[].{place}.{name}"
    (rule,) = [one for one in BODY if isinstance(one, FieldRule) and one.path == path]
    either = [one for one in BODY if isinstance(one, AnyOf) and one.at == path.rpartition(".")[0]]

    assert rule.type is str
    assert size("bytes", row["limit"]) == rule.max_bytes
    assert row["req"].startswith("yes") == rule.required
    assert ("it or" in row["req"]) == bool(either)
    if found := re.search(r"of an? (\w+) upload(?! only)", row["limit"]):
        assert found[1] == rule.media
    if "with scheme" in row["limit"]:
        assert rule.link
    assert codes(row["req"] + row["over-limit"]) <= rule.codes | {one.code for one in either}


def test_every_type_of_the_table_is_a_type_of_ours():
    """Five attachments, each with rows, and no others."""
    assert {row["type.field"].partition(".")[0] for row in FIELDS} == {"text", *MODELS}
    own = [one for one in BODY if isinstance(one, FieldRule) and one.path.startswith(("text.", "attachments[]."))]
    assert len(FIELDS) == len(own)


def test_every_list_has_its_maximum():
    """Attachments and tags are refused beyond it; recipients are what a part is cut at."""
    (attachments,) = [one for one in BODY if isinstance(one, FieldRule) and one.path == "attachments"]
    (tags,) = [one for one in BODY if isinstance(one, FieldRule) and one.path.endswith("tag_list")]

    most = {name: int(row["most"].replace(",", "")) for name, row in LISTS.items()}
    assert most == {
        "attachments": attachments.entries[1],
        "external_userid": CUSTOMERS.maximum,
        "chat_id_list": GROUPS.maximum,
        "tag_filter.group_list[].tag_list": tags.entries[1],
    }
    assert codes(LISTS["attachments"]["over-limit"]) == {attachments.code}


OUTCOMES = {
    "transient": Retry,
    "token": StaleToken,
    "permanent": Rejected,
    "wait": Wait,
    "alert": Parked,
    "media": Rejected,
}
CODED = [
    (code, row["class"])
    for row in rows("external_errors")
    for code in ([-1] if row["code"] == "-1" else sorted(codes(row["code"])))
]


@each(CODED)
def test_every_code_does_what_its_class_says(code: int, kind: str):
    """For the call that makes a task; each is in the catalogue. (45035 is the lane's fault: it goes
    again like a transient one, and costs no attempt.)
    """
    found = outcome(coded(code), part({**part().message, "files": {}}))

    assert isinstance(found, Wait if code == 45035 else OUTCOMES[kind])
    assert ERRCODES.find(code) is not None


def test_the_channel_knows_its_kinds():
    """Five kinds, one of which is a send."""
    assert {"send", "recall", "remind", "track", "upload"} == CHANNEL.kinds
    assert {"send"} == CHANNEL.sends
    assert CHANNEL.recall_window_s is None
