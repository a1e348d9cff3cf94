"""The search for a task whose creation was not answered: found, or held for a person, and never another's.

Driven against the simulated vendor: a create call is made and its answer thrown away, or never made; others make tasks
that look like it; then the part, in doubt, is asked until its search ends.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from wecom_external_samples import NOW, campaign, coded, outcome, part, reply, sent
from wecom_external_vendor import Vendor

from worker.channels.wecom_external import File, Image, Link, MiniProgram, look_up
from worker.channels.wecom_external.look_up import EMPTY_PAUSES_S, MAX_MEMBERS, MAX_SIMILAR
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Held, Partial, Progress, Retry, Scope, StaleToken, Wait

ENOUGH = 400
SINGLE = {"sender": "lihua", "customers": ["wm1", "wm2", "wm3"]}
GROUPS = {"sender": "lihua", "chats": ["wr1", "wr2"]}
EVERYONE = {"sender": "lihua", "everyone": True}
LINK = {"msgtype": "link", "link": {"title": "t", "url": "https://e.com"}}


def lost(vendor: Vendor, made: Part) -> str:
    """Make the call and throw its answer away; the task it made."""
    _, _, answer = vendor.takes(made)
    return str(answer["msgid"])


def in_doubt(made: Part, known: tuple[str, ...] = ()) -> Part:
    """The part as the pipeline asks it after the silence."""
    return replace(made, in_doubt=True, facts={**made.facts, "doubt": [NOW - 5, NOW + 5], "known": list(known)})


def searched(vendor: Vendor, made: Part, known: tuple[str, ...] = ()) -> Any:
    """Ask page by page until the search ends; nothing it asks may change anything."""
    asked, before = in_doubt(made, known), vendor.tasks()
    for _ in range(ENOUGH):
        _, found, _ = vendor.takes(asked)
        if not isinstance(found, Progress):
            assert before == vendor.tasks()
            return found
        assert 0 <= found.delay <= 120
        spec = json.loads(json.dumps(found.spec))
        assert {**made.spec, "look_up": None} == {**spec, "look_up": None}
        asked = replace(asked, spec=spec)
    raise AssertionError("the search does not end")


def foreign(vendor: Vendor, **given: Any) -> str:
    """A task somebody else makes; by default it looks just like ours."""
    members = given.pop("members", {"lihua": ["wm1", "wm2", "wm3"]})
    task = {"corpid": "ww01", "text": "hello", "members": members, **given}
    return str(vendor.act("groupmsg_foreign", **task)["msgid"])


@pytest.mark.parametrize("spec", [SINGLE, GROUPS, EVERYONE, {"customers": ["wm1", "wm2"]}])
def test_one_task_is_found(spec: dict[str, Any]):
    """By its content, then by sender and recipients."""
    vendor, made = Vendor(), part(campaign("hello", LINK), spec)
    msgid = lost(vendor, made)

    found = searched(vendor, made)

    assert isinstance(found, Accepted)
    assert (msgid, True) == (found.receipt.msgid, found.receipt.from_repeat)


@pytest.mark.parametrize("spec", [SINGLE, GROUPS, EVERYONE])
def test_a_call_that_never_arrived_is_held(spec: dict[str, Any]):
    """The list is read three times, in growing distance, for a call that hung on its way; then a person decides."""
    vendor, asked, pauses = Vendor(), in_doubt(part(spec=spec)), []
    while isinstance(found := vendor.takes(asked)[1], Progress):
        pauses.append(found.delay)
        asked = replace(asked, spec=found.spec)

    assert isinstance(found, Held)
    assert list(EMPTY_PAUSES_S) == pauses


def test_a_call_that_arrived_late_is_found():
    """Between two readings of the list."""
    vendor, made = Vendor(), part(spec=SINGLE)
    _, nothing, _ = vendor.takes(in_doubt(made))
    msgid = lost(vendor, made)

    found = searched(vendor, replace(made, spec=nothing.spec))

    assert msgid == found.receipt.msgid


LOOK_ALIKES: list[tuple[str, dict[str, Any]]] = [
    ("another text", {"text": "hello!"}),
    ("no text", {"text": None}),
    ("one attachment more", {"attachments": [LINK]}),
    ("older", {"age_s": 3600.0}),
    ("made in the console", {"creator": "admin"}),
    ("a member's own", {"create_type": 1}),
    ("another sender", {"members": {"chenmo": ["wm1", "wm2", "wm3"]}}),
    ("another sender as well", {"members": {"lihua": ["wm1", "wm2"], "chenmo": ["wm3"]}}),
    ("another customer", {"members": {"lihua": ["wm1", "wm2", "wm9"]}}),
    ("other customers", {"members": {"lihua": ["wm7", "wm8"]}}),
    ("another corp", {"corpid": "ww02"}),
    ("groups", {"chat_type": "group"}),
]


@pytest.mark.parametrize(("what", "given"), LOOK_ALIKES, ids=[what for what, _ in LOOK_ALIKES])
def test_what_is_not_ours_is_never_taken_for_it(what: str, given: dict[str, Any]):
    """Alone it is no match, and beside ours it is no doubt."""
    vendor, made = Vendor(), part(spec=SINGLE)
    foreign(vendor, **given)

    alone = searched(vendor, made)
    msgid = lost(vendor, made)

    assert isinstance(alone, Held)
    assert msgid == searched(vendor, made).receipt.msgid


def test_twenty_look_alikes_and_ours():
    """Each differs in sender or customers alone; ours is found among them, over small pages."""
    vendor, made = Vendor(max_page_size=3), part(campaign("hello", LINK), SINGLE)
    for n in range(10):
        foreign(vendor, attachments=[LINK], members={f"member{n}": ["wm1", "wm2", "wm3"]})
    msgid = lost(vendor, made)
    for n in range(10):
        foreign(vendor, attachments=[LINK], members={"lihua": ["wm1", "wm2", f"wm{n + 10}"]})

    assert msgid == searched(vendor, made).receipt.msgid


def test_twenty_look_alikes_without_ours():
    """Held: none of them is taken for it."""
    vendor, made = Vendor(max_page_size=3), part(spec=SINGLE)
    for n in range(10):
        foreign(vendor, members={f"member{n}": ["wm1", "wm2", "wm3"]})
        foreign(vendor, members={"lihua": ["wm1", "wm2", f"wm{n + 10}"]})

    assert isinstance(searched(vendor, made), Held)


def test_the_same_task_made_twice_is_held():
    """Sender and customers are the same: nobody can tell which is ours, not even with twenty of them."""
    for count in (1, 20):
        vendor, made = Vendor(), part(spec=SINGLE)
        lost(vendor, made)
        for _ in range(count):
            foreign(vendor)

        found = searched(vendor, made)

        assert isinstance(found, Held)
        assert f"{count + 1} tasks match" in found.reason


def test_groups_of_one_sender_are_told_apart_once_they_were_sent_to():
    """Before that the vendor names none: two tasks are held; a foreign group then rules one out."""
    vendor, made = Vendor(), part(spec=GROUPS)
    msgid = lost(vendor, made)
    other = foreign(vendor, chat_type="group", members={"lihua": ["wr8", "wr9"]})
    before = searched(vendor, made)

    vendor.act("groupmsg_confirm", msgid=other, member="lihua")

    assert isinstance(before, Held)
    assert msgid == searched(vendor, made).receipt.msgid


def test_tasks_of_other_parts_are_no_candidates():
    """Their msgids are known, however alike they are."""
    vendor, made = Vendor(), part(spec=SINGLE)
    theirs = foreign(vendor)
    msgid = lost(vendor, made)

    assert isinstance(searched(vendor, made), Held)
    assert msgid == searched(vendor, made, known=(theirs,)).receipt.msgid


def test_parts_of_one_sender_find_each_their_own():
    """A sender of 4,500 customers: three tasks with the same content, told apart by their customers."""
    vendor = Vendor()
    parts = [
        part(spec={"sender": "lihua", "customers": [f"wm{n}" for n in range(start, end)]}, n=start)
        for start, end in ((0, 2_000), (2_000, 4_000), (4_000, 4_500))
    ]
    msgids = [lost(vendor, one) for one in parts]

    assert msgids == [searched(vendor, one).receipt.msgid for one in parts]


def test_who_was_refused_by_the_lost_answer_is_learnt():
    """Customers the task does not name stood in its fail_list."""
    vendor, made = Vendor(missing=["ghost.*"]), part(spec={"sender": "lihua", "customers": ["wm1", "ghost1", "wm2"]})
    msgid = lost(vendor, made)

    found = searched(vendor, made)

    assert isinstance(found, Partial)
    assert found.receipt.msgid == msgid
    assert [one.recipient for one in found.refusals] == ["ghost1"]
    assert {(one.kind, one.field) for one in found.refusals} == {("customer", "fail_list")}


@pytest.mark.parametrize(
    ("rival", "is_found"),
    [
        ({"sender": "lihua", "customers": ["wm1", "wm2"]}, False),
        ({"sender": "LiHua", "customers": ["WM1", "wm2", "wm3", "wm9"]}, False),
        ({"sender": "lihua"}, False),
        ({"customers": ["wm1", "wm2"]}, False),
        ({"sender": "wangwei", "customers": ["wm1", "wm2"]}, True),
        ({"sender": "lihua", "customers": ["wm1", "wm9"]}, True),
        ({"sender": "lihua", "customers": ["wm1", "wm2", "wm6", "wm7", "wm8"]}, True),
    ],
)
def test_a_task_that_another_send_may_have_made_is_held(rival: dict[str, Any], is_found: bool):
    """It has the same text, is for some of the same customers, and is in doubt, too."""
    vendor, made = Vendor(), part(spec=SINGLE)
    foreign(vendor, members={"lihua": ["wm1", "wm2"]})
    told = replace(made, facts={**made.facts, "rivals": [part(spec=rival)]})

    assert isinstance(searched(vendor, told), Partial if is_found else Held)
    other = part(campaign("another text"), rival)
    assert isinstance(searched(vendor, replace(told, facts={"rivals": [other]})), Partial)


def test_the_whole_task_goes_before_one_for_some():
    """Three of the same sender: the one that names every customer is ours."""
    vendor, made = Vendor(), part(spec=SINGLE)
    foreign(vendor, members={"lihua": ["wm1"]})
    msgid = lost(vendor, made)
    foreign(vendor, members={"lihua": ["wm2", "wm3"]})

    found = searched(vendor, made)

    assert isinstance(found, Accepted)
    assert msgid == found.receipt.msgid


def test_a_task_for_a_few_of_them_is_none():
    """Fewer than half of the part's customers are somebody else's task, whoever sends it."""
    vendor, made = Vendor(), part(spec={"sender": "lihua", "customers": [f"wm{n}" for n in range(9)]})
    foreign(vendor, members={"lihua": ["wm0", "wm1", "wm2", "wm3"]})
    few = searched(vendor, made)
    foreign(vendor, members={"lihua": ["wm4", "wm5", "wm6", "wm7", "wm8"]})

    most = searched(vendor, made)

    assert isinstance(few, Held)
    assert isinstance(most, Partial)
    assert [one.recipient for one in most.refusals] == ["wm0", "wm1", "wm2", "wm3"]


def test_customers_that_are_not_told_are_held():
    """If the vendor did not list whom a member has still to send to, no task could be told from another."""
    vendor, made = Vendor(unsent_listed=False), part(spec=SINGLE)
    lost(vendor, made)

    assert isinstance(searched(vendor, made), Held)


def test_a_tag_filter_without_a_sender_is_held():
    """Neither sender nor customers: nothing tells its task from another's."""
    document = campaign(tag_filter={"group_list": [{"tag_list": ["et1"]}]})
    vendor, made = Vendor(tags={"wm1": ["et1"]}), part(document, {"everyone": True})
    lost(vendor, made)

    found = searched(vendor, made)

    assert isinstance(found, Held)
    assert "without sender" in found.reason


def test_attachments_are_compared_by_what_the_list_tells():
    """Links and mini programs by their fields, files by the media_id this part sent, covers not at all."""
    pieces = [
        Image(),
        Link(title="t", url="https://e.com", desc="d"),
        MiniProgram(title="m", appid="wx1", page="p", pic_media_id="cover"),
        File(media_id="F1"),
    ]
    media = {"attachments.0.image.media_id": "M1"}
    made = part(campaign("hello", *pieces), SINGLE, facts={"media": media})
    vendor = Vendor()
    msgid = lost(vendor, made)
    other = replace(made, facts={"media": {"attachments.0.image.media_id": "M2"}})

    assert msgid == searched(vendor, made).receipt.msgid
    assert isinstance(searched(vendor, other), Held)
    assert msgid == searched(vendor, replace(made, facts={})).receipt.msgid


def test_the_window_of_the_search():
    """The time of the doubt and a margin for clocks, the same for every page of one reading."""
    made = in_doubt(part(spec=SINGLE))
    path, body = sent(made)
    page = {"errcode": 0, "errmsg": "ok", "next_cursor": "c2", "group_msg_list": []}

    later = replace(made, spec=outcome(page, made).spec, facts={**made.facts, "doubt": [NOW - 5, NOW + 999]})

    window = {"start_time": NOW - 305, "end_time": NOW + 305}
    wanted = {"chat_type": "single", "filter_type": 0, "limit": 50, **window}
    assert path == "/cgi-bin/externalcontact/get_groupmsg_list_v2"
    assert body == wanted
    assert {**wanted, "cursor": "c2"} == sent(later)[1]
    month = replace(made, facts={"doubt": [0, NOW], "known": []})
    assert 31 * 86_400 >= sent(month)[1]["end_time"] - sent(month)[1]["start_time"]


def test_too_many_look_alikes():
    """Beyond a number nobody is asked any more."""
    vendor, made = Vendor(), part(spec=SINGLE)
    for n in range(MAX_SIMILAR + 1):
        foreign(vendor, members={f"member{n}": ["wm1"]})

    found = searched(vendor, made)

    assert isinstance(found, Held)
    assert str(MAX_SIMILAR) in found.reason


def test_too_many_members_of_a_task_without_a_sender():
    """What could not be read is no match."""
    vendor, made = Vendor(), part(spec={"customers": [f"wm{n}" for n in range(MAX_MEMBERS + 1)]})
    foreign(vendor, members={f"member{n}": [f"wm{n}"] for n in range(MAX_MEMBERS + 1)})

    assert isinstance(searched(vendor, made), Held)


def test_a_task_that_is_still_handed_out_is_waited_for():
    """41063 says: later."""
    vendor, made = Vendor(dispatch_s=10.0), part(spec=SINGLE)
    msgid = lost(vendor, made)
    looked = replace(in_doubt(made), spec=vendor.takes(in_doubt(made))[1].spec)

    early = vendor.takes(looked)[1]
    vendor.state.clock.advance(11)

    assert type(early) is Wait
    assert early.scope == Scope.PART
    assert msgid == searched(vendor, replace(made, spec=looked.spec)).receipt.msgid


MEMBERS = {"look_up": {"step": "members", "found": ["m1", "m2"]}}
RESULTS = {"look_up": {"step": "results", "found": ["m1", "m2"], "members": ["lihua"]}}


def refused(code: int, state: dict[str, Any]) -> Any:
    """What a code means in the middle of a search."""
    return outcome(coded(code), in_doubt(part(spec={**SINGLE, **state})))


def test_codes_met_while_searching():
    """A search changes nothing, so no code of it refuses the part; what was lost begins again, a bounded number of
    times; a task that is gone, or a member's, is left behind.
    """
    assert list(refused(41047, MEMBERS).spec["look_up"]["found"]) == ["m2"]
    again = refused(50100, RESULTS).spec["look_up"]
    assert again["step"] == "list"
    assert again["cursor"] == ""
    assert list(again["found"]) == []
    lost = 0
    while not isinstance(found := refused(50100, {"look_up": again}), Held):
        again, lost = found.spec["look_up"], lost + 1
    assert 0 < lost < 6
    assert refused(60111, RESULTS).spec["look_up"]["unsure"] == 1
    assert isinstance(refused(60111, {}), Held)
    assert isinstance(refused(40058, {}), Held)
    assert isinstance(refused(999999, {}), Held)
    assert isinstance(refused(-1, {}), Retry)
    assert isinstance(refused(42001, {}), StaleToken)


def test_pages_of_another_shape():
    """Whatever stands in a page that is no task, member or recipient is nothing."""
    ok = {"errcode": 0, "errmsg": "ok"}
    made = in_doubt(part(spec=SINGLE))
    odd = [None, 7, {"msgid": 5}, {"msgid": "m", "create_time": "soon"}, {"msgid": "m", "create_time": NOW, "text": 1}]

    for body in (ok, {**ok, "group_msg_list": odd}, {**ok, "group_msg_list": "x"}, {**ok, "next_cursor": 7}):
        assert isinstance(outcome(body, made), Progress)
    for state in (MEMBERS, RESULTS):
        step = in_doubt(part(spec={**SINGLE, **state}))
        for body in (ok, {**ok, "task_list": odd, "send_list": odd}):
            assert isinstance(outcome(body, step), Progress)
    assert isinstance(outcome(reply(b"[]"), made), Retry)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """Somebody's task, more or less like ours."""
    members = draw(st.dictionaries(st.sampled_from(["lihua", "chenmo"]), IDS, min_size=1))
    return {
        "text": draw(st.sampled_from(["hello", "hello", "hallo"])),
        "members": members,
        "creator": draw(st.sampled_from(["", "", "admin"])),
        "age_s": draw(st.sampled_from([0.0, 60.0, 4000.0])),
    }


IDS = st.lists(st.sampled_from([f"wm{n}" for n in range(1, 7)]), min_size=1, max_size=4, unique=True)


@given(IDS, st.lists(tasks(), max_size=20), st.booleans(), st.integers(0, 4))
def test_matched_or_held_and_never_wrong(ids: list[str], others: list[dict[str, Any]], arrived: bool, page: int):
    """Whatever others made: if ours arrived it is found or held; if it did not, a task is only taken for it that no
    one could tell from ours: of this sender alone, and for nobody else.
    """
    vendor, made = Vendor(max_page_size=page), part(spec={"sender": "lihua", "customers": ids})
    half = len(others) // 2
    for one in others[:half]:
        foreign(vendor, **one)
    msgid = lost(vendor, made) if arrived else None
    for one in others[half:]:
        foreign(vendor, **one)

    found = searched(vendor, made)

    assert isinstance(found, Accepted | Partial | Held)
    if isinstance(found, Held):
        return
    if arrived:
        assert msgid == found.receipt.msgid
        return
    (taken,) = [task for task in vendor.tasks() if task["msgid"] == found.receipt.msgid]
    assert list(taken["members"]) == ["lihua"]
    named = set(taken["members"]["lihua"]["results"])
    assert named <= set(ids)
    assert 2 * len(named) >= len(ids)


def test_whose_answer_is_written_down_meanwhile_is_no_find():
    """An equal message was in flight when the list was read: by the next page its task is known to be its own."""
    vendor = Vendor()
    made = part(spec=SINGLE)
    twin = lost(vendor, made)
    asked, found, pages = in_doubt(made), None, 0
    while not isinstance(found, Held) and pages < ENOUGH:
        _, found, _ = vendor.takes(asked)
        assert not isinstance(found, (Accepted, Partial))
        spec = json.loads(json.dumps(found.spec)) if isinstance(found, Progress) else asked.spec
        asked, pages = replace(in_doubt(made, (twin,)), spec=spec), pages + 1

    assert isinstance(found, Held)


@pytest.mark.parametrize("step", ["list", "members", "results"])
def test_a_search_whose_cursors_lead_in_a_circle_is_held(step: str, monkeypatch: pytest.MonkeyPatch):
    """It ends, however long the vendor would go on."""
    monkeypatch.setattr(look_up, "MAX_PAGES", 100)
    state = {"step": step, "found": ["m1"], "members": ["lihua"] if step == "results" else [], "window": [NOW, NOW + 9]}
    asked, found, pages = in_doubt(part(spec={**SINGLE, "look_up": state})), None, 0
    while not isinstance(found, Held):
        found = outcome({"errcode": 0, "next_cursor": f"c{pages % 2}", "task_list": [{"userid": "lihua"}]}, asked)
        asked = replace(asked, spec=getattr(found, "spec", asked.spec))
        pages += 1
        assert pages <= 101
