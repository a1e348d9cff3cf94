"""A task followed to its end, page by page, against the simulated vendor."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from wecom_external_samples import campaign, outcome, part, task
from wecom_external_vendor import Vendor

from worker.channels.wecom_external.track import MAX_PAGES
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Confirmation, Progress, Retry, Wait


def created(vendor: Vendor, spec: dict[str, Any], **members: list[str]) -> str:
    """A task of ours, or one with several members."""
    if members:
        return str(vendor.act("groupmsg_foreign", corpid="ww01", text="t", members=members)["msgid"])
    return str(vendor.takes(part(campaign(), spec))[2]["msgid"])


def followed(vendor: Vendor, msgid: str) -> tuple[dict[tuple[str, str], Confirmation], int]:
    """One round as the pipeline makes it: the members' tasks, then each member who has sent; and its calls."""
    asked, known, calls = task("track", msgid=msgid, step="task", member=None, cursor=""), {}, 0
    while True:
        asked = _with_member(asked, known)
        if asked.spec["step"] == "result" and asked.spec["member"] is None:
            return known, calls
        _, found, _ = vendor.takes(asked)
        assert isinstance(found, Progress)
        calls += 1
        known |= {(one.member, one.recipient): one for one in found.confirmations}
        asked = replace(asked, spec={**found.spec, "after": asked.spec.get("member") or asked.spec.get("after") or ""})


def _with_member(asked: Part, known: dict[tuple[str, str], Confirmation]) -> Part:
    """The next member who has sent, where the channel left the choice."""
    if asked.spec["step"] != "result" or asked.spec["member"] is not None:
        return asked
    sent = sorted(member for (member, recipient), one in known.items() if not recipient and one.status == 2)
    rest = [member for member in sent if member > asked.spec.get("after", "")]
    return replace(asked, spec={**asked.spec, "member": rest[0] if rest else None})


def test_three_hundred_customers_of_four_members():
    """250 are sent to, one of them left, one's cap is used up; who waits is told as waiting, over small pages."""
    customers = {f"member{n}": [f"wm{n}-{i}" for i in range(75)] for n in range(4)}
    customers["member1"][3], customers["member2"][4] = "former1", "full1"
    vendor = Vendor(former=["former.*"], max_page_size=20)
    msgid = created(vendor, {}, **customers)
    vendor.act("groupmsg_spend", corpid="ww01", recipient="full1", count=31)
    for member in ("member0", "member1", "member2"):
        vendor.act("groupmsg_confirm", msgid=msgid, member=member)
    vendor.act("groupmsg_confirm", msgid=msgid, member="member3", recipients=customers["member3"][:25])

    known, _ = followed(vendor, msgid)

    statuses = Counter(one.status for (_, recipient), one in known.items() if recipient)
    assert statuses == {1: 248, 2: 1, 3: 1, 0: 50}
    assert {(member, known[member, one].status) for member, one in (("member1", "former1"), ("member2", "full1"))} == {
        ("member1", 2),
        ("member2", 3),
    }
    assert all((one.happened_at is not None) == (one.status == 1) for (_, recipient), one in known.items() if recipient)
    assert set(customers["member3"]) == {recipient for member, recipient in known if member == "member3" and recipient}


def test_who_has_not_confirmed_is_not_asked_for_results():
    """One call for the members, then one for each who has sent."""
    vendor = Vendor()
    msgid = created(vendor, {}, a=["wm1"], b=["wm2"], c=["wm3"])
    first = followed(vendor, msgid)
    vendor.act("groupmsg_confirm", msgid=msgid, member="b")
    second = followed(vendor, msgid)

    assert {member: one.status for (member, _), one in first[0].items()} == {"a": 0, "b": 0, "c": 0}
    assert first[1] == 1
    assert second[1] == 2
    assert (second[0]["b", ""].status, second[0]["b", "wm2"].status) == (2, 1)


def test_groups_are_told_once_they_were_sent_to():
    """A group that is missing waits; it did not fail."""
    vendor = Vendor()
    msgid = created(vendor, {"sender": "lihua", "chats": ["wr1", "wr2"]})
    vendor.act("groupmsg_confirm", msgid=msgid, member="lihua", recipients=["wr2"])

    known, _ = followed(vendor, msgid)

    assert set(known) == {("lihua", ""), ("lihua", "wr2")}


def test_the_owner_chooses_groups():
    """A task without groups: who is told in the end is whom the owner chose."""
    vendor = Vendor(groups={"lihua": ["wr1", "wr2", "wr3"]})
    msgid = created(vendor, {"sender": "lihua", "everyone": True, "audience": "groups"})
    before, _ = followed(vendor, msgid)
    vendor.act("groupmsg_confirm", msgid=msgid, member="lihua", recipients=["wr1", "wr3"])

    after, _ = followed(vendor, msgid)

    assert set(before) == {("lihua", "")}
    assert {recipient for _, recipient in after if recipient} == {"wr1", "wr3"}


def test_right_after_creation_it_waits():
    """41063 is no end."""
    vendor = Vendor(dispatch_s=5.0)
    msgid = created(vendor, {"sender": "lihua", "customers": ["wm1"]})
    asked = task("track", msgid=msgid, step="task", member=None, cursor="")

    early = vendor.takes(asked)[1]
    vendor.state.clock.advance(6)

    assert isinstance(early, Wait)
    assert set(followed(vendor, msgid)[0]) == {("lihua", "")}


def test_cancelled_while_it_was_followed():
    """What was sent stays sent; where the vendor tells nothing more of it, following ends."""
    vendor = Vendor()
    msgid = created(vendor, {}, a=["wm1"], b=["wm2"])
    vendor.act("groupmsg_confirm", msgid=msgid, member="a")

    _, cancelled, _ = vendor.takes(task("recall", msgid=msgid))
    known, _ = followed(vendor, msgid)
    vendor.state.settings.external.cancelled_query_code = 41093
    _, ended, _ = vendor.takes(task("track", msgid=msgid, step="task", member=None, cursor=""))

    assert isinstance(cancelled, Accepted)
    assert {member: one.status for (member, recipient), one in known.items() if not recipient} == {"a": 2, "b": 0}
    assert isinstance(ended, Accepted)


def test_cursors_that_lead_in_a_circle_end():
    """The paging is over after a number of pages nothing has; the next round reads anew."""
    for step, member in (("task", None), ("result", "lihua")):
        asked, pages = task("track", msgid="m", step=step, member=member, cursor=""), 0
        while not (asked.spec["step"] == "result" and asked.spec["member"] is None):
            found = outcome({"errcode": 0, "next_cursor": f"c{pages % 2}"}, asked)
            asked, pages = replace(asked, spec=found.spec), pages + 1
            assert pages <= MAX_PAGES

        assert pages == MAX_PAGES
        assert asked.spec["pages"] == 0


def test_a_paging_whose_cursor_is_lost_begins_again():
    """50100 behind a cursor: the same member, from the first page. If it is always lost, that is a retry."""
    for step, member in (("task", None), ("result", "lihua")):
        asked, pages = task("track", msgid="m", step=step, member=member, cursor="c1", pages=3), 3
        while isinstance(found := outcome({"errcode": 50100}, asked), Progress):
            following = tuple(found.spec[name] for name in ("step", "member", "cursor", "pages"))
            assert (step, member, "", pages + 1) == following
            asked, pages = replace(asked, spec={**found.spec, "cursor": "c1"}), pages + 1

        assert type(found) is Retry
        assert pages == MAX_PAGES - 1
