"""Two readings of the documentation meet: what the channel lets through, the simulator neither refuses nor cuts.

They share no code but crypto; each has tables of its own.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from youdu_messages import ACCOUNT, BODIES, WINDOWS, bodies
from youdu_samples import CHANNEL as YOUDU, account_for, draft, part

from tests.support.youdu_client import KEYS
from worker.channels.base import TokenGranted
from worker.channels.youdu import Badge, PopWindow, Raw, message_from_json
from worker.domain.call import Access, FileBody, Reply, Request
from worker.domain.content.recipient import Everyone, To
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Parked, Partial, Progress, Rejected, Unknown
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import answer

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
PEOPLE = st.lists(ACCOUNT, min_size=1, max_size=20, unique=True)


class Server:
    """A Youdu server without HTTP: requests go in as the transport would write them."""

    def __init__(self, msgtype: str = "text", **changes: Any):
        self.account = account_for(msgtype, changes.pop("account", None))
        self.state = VendorState(SimulatorSettings.model_validate({"youdu": changes}))
        self.secret = KEYS[str(self.account.settings["appid"])]
        self.seq = 0
        granted = YOUDU.token_outcome(
            self.ask(YOUDU.token_request(self.account, self.secret, 1_700_000_000)), self.account, self.secret
        )
        assert isinstance(granted, TokenGranted)
        self.access = Access(granted.token, self.secret)

    def ask(self, built: Request) -> Reply:
        """What it answers."""
        self.seq += 1
        headers, body = {"content-type": built.content_type}, built.body
        if isinstance(body, FileBody):
            headers, body = {"content-type": "multipart/form-data; boundary=b0undary"}, written(body)
        assert isinstance(body, bytes | None)
        asked = HttpRequest(
            built.method, built.path, dict(built.query), seq=self.seq, headers=headers, body=body or b""
        )
        said = answer(self.state, asked)
        return Reply(said.status, {}, said.body)

    def takes(self, one: Part) -> Any:
        """A part all the way."""
        reply = self.ask(YOUDU.request(one, self.account, self.access, flagged=False))
        return YOUDU.outcome(one, self.account, reply, self.access).outcome


def written(file: FileBody) -> bytes:
    """A form as bytes."""
    parts = [f'--b0undary\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in file.fields.items()]
    head = f'--b0undary\r\nContent-Disposition: form-data; name="{file.field_name}"; filename="{file.filename}"\r\n\r\n'
    return ("".join(parts) + head).encode() + b"".join(file.open()) + b"\r\n--b0undary--\r\n"


def with_media(body: Any, server: Server) -> Any:
    """The same with ids of files that were uploaded."""
    if isinstance(body, list):
        return [with_media(one, server) for one in body]
    if not isinstance(body, dict):
        return body
    made = {name: with_media(value, server) for name, value in body.items()}
    if made.get("media_id"):
        kept = server.state.youdu.media.add(server.state.settings.youdu.apps[0], "image", "a", b"x")
        made["media_id"] = kept.media_id
    return made


@QUICK
@given(bodies(), PEOPLE, st.sampled_from(["code_point", "utf16"]), st.sampled_from([0, 100003]))
def test_valid_messages_are_neither_refused_nor_cut(
    body: dict[str, Any], users: list[str], character: str, title_code: int
):
    """Whatever is valid by the tables is taken for everybody, and everybody sees it as it was asked for."""
    server = Server(body["msgType"], character=character, long_title_code=title_code)
    body = with_media(body, server)
    document = message_from_json(body).document()
    (spec,) = YOUDU.split(draft(document, To(users), account=server.account))

    outcome = server.takes(part(document, spec))

    assert isinstance(outcome, Accepted)
    assert outcome.receipt.warning is None
    (delivered,) = server.state.youdu.delivered
    assert ([], users) == (delivered.altered, delivered.shown_to)
    assert body[body["msgType"]] == delivered.content


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with one thing done to it that may have broken it."""
    body = draw(bodies())
    content = body[body["msgType"]]
    holder = content[0] if isinstance(content, list) else content
    name = draw(st.sampled_from(sorted(holder)))
    holder[name] = draw(st.sampled_from([None, "", "x" * 700, "字" * 130, 7, -1, True, [], {}]))
    return body


@QUICK
@given(damaged())
def test_what_the_door_lets_through_is_never_refused(body: dict[str, Any]):
    """And never cut: the door is as strict as the server wherever that is known."""
    server = Server(body["msgType"])
    body = with_media(body, server)
    raw = Raw(msgtype=body["msgType"], body={body["msgType"]: body[body["msgType"]]}).document()
    problems = YOUDU.check(draft(raw, To("alice"), account=server.account))
    if problems:
        return
    YOUDU.warnings(draft(raw, To("alice"), account=server.account))

    outcome = server.takes(part(raw))

    assert isinstance(outcome, Accepted)
    assert [one.altered for one in server.state.youdu.delivered] == [[]]


def test_every_type_is_tried():
    """Nine of them."""
    assert len(BODIES) == 9


@QUICK
@given(WINDOWS, PEOPLE)
def test_valid_windows_open_and_a_repeat_opens_no_second(window: dict[str, Any], users: list[str]):
    """With the worker's id, and with the caller's; without any there are two."""
    server = Server()
    document = PopWindow(**window).document()
    asked = draft(document, To(users))
    assert YOUDU.check(asked) == []
    (spec,) = YOUDU.split(asked)

    outcomes = [server.takes(part(document, spec)) for _ in range(2)]

    assert [Accepted, Accepted] == [type(one) for one in outcomes]
    expected = 2 if window.get("notice_id") == "" else 1
    assert dict.fromkeys(users, expected) == {user: len(open_) for user, open_ in server.state.youdu.windows.items()}


@QUICK
@given(st.integers(0, 999), PEOPLE)
def test_valid_badges_are_set(count: int, users: list[str]):
    """One call for each; twice is as good as once."""
    server = Server()
    document = Badge(count=count, tip="to do").document()

    for spec in YOUDU.split(draft(document, To(users))) * 2:
        assert isinstance(server.takes(part(document, spec)), Accepted)

    assert dict.fromkeys(users if count else [], count) == {
        user: badge["count"] for user, badge in server.state.youdu.badges.items()
    }


@QUICK
@given(st.binary(min_size=1, max_size=5000), st.text(min_size=1, max_size=40).filter(str.strip), st.integers(1, 999))
def test_files_arrive_as_they_were(content: bytes, name: str, step: int):
    """However they come in pieces, under their whole name."""
    server = Server()
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    name = name.encode("utf-8", "ignore").decode()
    file = {"upload_type": "file", "name": name or "a", "size": len(content), "sha256": "0" * 64}
    made = part({"type": "upload", "files": {"media": file}}, {}, facts={"open": lambda: chunks})

    outcome = server.takes(made)

    assert isinstance(outcome, Accepted)
    found = server.state.youdu.media.find(
        server.state.settings.youdu.apps[0], outcome.receipt.media_id, server.state.settings.youdu
    )
    assert (content, name or "a", "file") == (found.content, found.name, found.kind)


def test_everyone_is_reached_only_by_the_word():
    """Department 0, and toAll for system messages."""
    for msgtype in ("text", "sysMsg"):
        server = Server(msgtype, account={})
        body = (
            {"text": {"content": "c"}}
            if msgtype == "text"
            else {"sysMsg": {"title": "t", "msg": [{"text": {"content": "c"}}]}}
        )
        document = message_from_json({"msgType": msgtype, **body}).document()
        (spec,) = YOUDU.split(draft(document, Everyone()))

        assert isinstance(server.takes(part(document, spec)), Accepted)
        assert server.state.youdu.delivered[0].shown_to == ["all1", "all2", "all3"]


TEXTS = ["invalid toUser: {users}", "用户{users}不存在", "[{users}] unknown", "{users}"]


@QUICK
@given(
    st.lists(ACCOUNT, min_size=1, max_size=6, unique=True),
    st.lists(st.from_regex(r"ghost[a-z0-9]{1,9}", fullmatch=True), min_size=1, max_size=6, unique=True),
    st.sampled_from(["strict", "partial", "partial-error"]),
    st.sampled_from(TEXTS),
    st.sampled_from(["|", ",", ", "]),
)
def test_the_truth_about_unknown_accounts(users: list[str], ghosts: list[str], mode: str, words: str, separator: str):
    """An account that says what its server does hears who got it; one that says nothing claims nothing."""
    people = {"users": [*users, *ghosts]}
    for said in (mode, "unknown"):
        server = Server(
            invalid_users=mode, invalid_text=words, invalid_separator=separator, account={"invalid_users": said}
        )
        made = part(spec=people)
        outcome = server.takes(made)
        while isinstance(outcome, Progress):
            made = part(spec=dict(outcome.spec))
            outcome = server.takes(made)
        got = {one for message in server.state.youdu.delivered for one in message.shown_to}
        refused = {one.recipient for one in outcome.refusals}
        assert refused <= set(ghosts)
        assert not refused & got
        if isinstance(outcome, Partial):
            assert set(ghosts) == refused
            assert set(users) == got
        elif isinstance(outcome, Unknown):
            assert outcome.held
        else:
            assert isinstance(outcome, Accepted | Rejected)
        assert len(server.state.youdu.delivered) <= 1


@pytest.mark.parametrize("mode", ["strict", "partial", "partial-error"])
def test_a_server_that_is_known_is_understood(mode: str):
    """The plain case of each way: two got it, one did not."""
    server = Server(invalid_users=mode, account={"invalid_users": mode})
    outcome = server.takes(part(spec={"users": ["alice", "ghost1", "bob"]}))
    if isinstance(outcome, Progress):
        outcome = server.takes(part(spec=dict(outcome.spec)))

    assert isinstance(outcome, Partial)
    assert [one.recipient for one in outcome.refusals] == ["ghost1"]
    assert [message.shown_to for message in server.state.youdu.delivered] == [["alice", "bob"]]


def test_what_is_on_the_wire_is_what_the_documentation_shows():
    """The standard envelope has three members, the old one two."""
    server = Server()
    standard = YOUDU.request(part(), server.account, server.access, flagged=False)
    old = YOUDU.request(part(Badge(count=1).document()), server.account, server.access, flagged=False)

    assert list(json.loads(standard.body)) == ["buin", "appId", "encrypt"]
    assert list(json.loads(old.body)) == ["app_id", "msg_encrypt"]


@pytest.mark.parametrize("message", [Badge(count=1), PopWindow(tip="look")])
def test_a_server_that_wants_a_token_everywhere_gets_one_when_the_account_says_so(message: Any):
    """The documentation has none on these calls; such a server says 100000, and the remedy names the setting."""
    document = message.document()
    wanting = Server(legacy_token="required")
    told = Server(legacy_token="required", account={"legacy_token": True})

    parked = wanting.takes(part(document))

    assert type(parked) is Parked
    assert "legacy_token" in parked.remedy
    assert isinstance(told.takes(part(document)), Accepted)
