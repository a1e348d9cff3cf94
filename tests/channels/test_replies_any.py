"""A vendor's answer with one odd value is an outcome that can be stored, and no success that it does not report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import wecom_app_samples as app
import wecom_external_samples as external
import wecom_webhook_samples as webhook
import youdu_samples as youdu
from pydantic_core import to_json

from tests.pipeline.suite_site import a_customer, a_suite
from tests.support.odd import WORD, altered
from worker.channels.base import CodeGranted, TokenGranted, TokenLater, TokenRefused, TokenStale
from worker.channels.registry import channel
from worker.channels.wecom_app import CardUpdate
from worker.domain.call import Reply
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Partial, Verdict

RECORDED = [json.loads(file.read_bytes()) for file in sorted((Path(__file__).parent / "replies").iterdir())]
OK = {"errcode": 0, "errmsg": "ok"}
FILE, PICTURE = ({"type": "upload", "files": {"media": {"upload_type": kind}}} for kind in ("image", "uploadimg"))
UPLOADED = {**OK, "type": "image", "media_id": "m", "created_at": "1380000000"}


@dataclass(frozen=True)
class Case:
    """Parts of one channel, the answers to their calls, and the code that says that an earlier call was accepted."""

    samples: Any
    parts: Sequence[Part]
    answers: Sequence[Any]
    promised: str = ""
    taken_before: int = 0


IN_SEARCH = external.part(
    external.campaign("hello", {"msgtype": "image", "image": {"media_id": "MEDIA"}}),
    in_doubt=True,
    facts={"doubt": [1000, 2000], "known": []},
)
MEMBERS, RESULTS = (
    replace(IN_SEARCH, spec={**IN_SEARCH.spec, "look_up": {"found": ["m1"], **step}})
    for step in ({"step": "members"}, {"step": "results", "members": ["lihua"]})
)
TASKS = {**OK, "next_cursor": "d", "task_list": [{"userid": "lihua", "status": 2, "send_time": 1552536375}]}
RECIPIENT = {"external_userid": "wm01", "chat_id": "wr01", "userid": "lihua", "status": 1, "send_time": 1552536375}
SENT_TO = {**OK, "next_cursor": "", "send_list": [RECIPIENT]}
PICTURES = [{"msgtype": "image", "image": {"media_id": "MEDIA", "pic_url": "https://e.com"}}]
LISTED = {"msgid": "m7", "creator": "", "create_time": "1500", "create_type": 0, "text": {"content": "hello"}}
TASK_LIST = {**OK, "next_cursor": "c", "group_msg_list": [{**LISTED, "attachments": PICTURES}]}


def odd(*samples: Any) -> list[Any]:
    """The answers, with an odd value in each place."""
    return [changed for sample in samples for changed in altered(sample)]


def sealed(inside: Any) -> dict[str, Any]:
    """An answer of a Youdu server with something encrypted."""
    return {**OK, "encrypt": youdu.ENVELOPE.seal(json.dumps(inside).encode(), bytes(16))}


CASES = {
    "app-send": Case(
        app,
        [app.part(app.card(), {"users": ["Ghost01", "b"], "parties": ["999"], "tags": ["4"]}), app.part(in_doubt=True)],
        odd(*RECORDED),
        "msgid",
        42014,
    ),
    "app-recall": Case(app, [app.part({}, {"msgid": "m"}, kind="recall", in_doubt=True)], odd(OK), "", 40058),
    "app-update": Case(
        app,
        [app.part(CardUpdate(replace_name="x").document(), {"users": ["LiHua", "b"]}, kind="update_card")],
        odd({**OK, "invaliduser": ["lihua", "wangwei"]}),
    ),
    "app-chat": Case(
        app,
        [app.part({"type": "chat_create", "body": {}}, {}, kind="create_chat", in_doubt=True)],
        odd({**OK, "chatid": "c1"}, {"errcode": 86215, "errmsg": "exists"}),
        "chatid",
        86215,
    ),
    "upload": Case(app, [app.part(FILE, {}, kind="upload")], odd(UPLOADED), "media_id"),
    "picture": Case(app, [app.part(PICTURE, {}, kind="upload")], odd({**OK, "url": "https://e.com"}), "url"),
    "webhook": Case(webhook, [webhook.part(), webhook.part({"type": "recall"}, {})], odd(OK, {"errcode": 93005})),
    "webhook-upload": Case(webhook, [webhook.part(FILE, {}, kind="upload")], odd(UPLOADED), "media_id"),
    "external-send": Case(external, [external.part()], odd({**OK, "fail_list": ["WM01"], "msgid": "m1"}), "msgid"),
    "external-recall": Case(external, [external.task("recall")], odd(OK, {"errcode": 41093}), "", 41093),
    "external-search": Case(external, [IN_SEARCH, MEMBERS, RESULTS], odd(TASK_LIST, TASKS, SENT_TO)),
    "external-track": Case(
        external,
        [
            external.task("track", step="task", member=None, cursor="c"),
            external.task("track", step="result", member="lihua", cursor=""),
        ],
        odd(TASKS, SENT_TO, {"errcode": 41093}),
        "",
        41093,
    ),
    "youdu": Case(
        youdu,
        [youdu.part(spec={"users": ["alice", "bob"], "parties": ["1"]}), youdu.part(kind="badge")],
        odd(*({"errcode": code, "errmsg": "invalid user: bob"} for code in (0, 200007))),
    ),
    "youdu-upload": Case(
        youdu,
        [youdu.part(FILE, {}, kind="upload")],
        [*odd(sealed({"mediaId": "m"})), *map(sealed, altered({"mediaId": "m"}))],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_answer_with_one_odd_value_is_an_outcome(case: Case) -> None:
    """Taken only if it says so; refused are only recipients of the call, each once; the next call can be made."""
    samples, account = case.samples, case.samples.account()
    for made in case.parts:
        asked = {str(one).lower() for listed in made.spec.values() if isinstance(listed, list) for one in listed}
        for answer in case.answers:
            verdict = samples.CHANNEL.outcome(made, account, answered(answer), samples.ACCESS)

            outcome = verdict.outcome
            assert is_storable(verdict), answer
            assert WORD not in f"{verdict}"
            refused = [(one.kind, one.recipient.lower()) for one in getattr(outcome, "refusals", ())]
            assert len(refused) == len(set(refused))
            assert {recipient for _, recipient in refused} <= asked
            if isinstance(outcome, Accepted | Partial) and not made.spec.get("look_up"):
                assert reports_success(answer, case), answer
            if isinstance(spec := getattr(outcome, "spec", None), dict) and spec.get("member", "") is not None:
                following = replace(made, spec=json.loads(json.dumps(spec)))
                assert samples.CHANNEL.request(following, account, samples.ACCESS, flagged=False).body


def reports_success(answer: Any, case: Case) -> bool:
    """Whether the vendor's code is 0, or says that an earlier call was accepted; without a code there is the id."""
    code = answer.get("errcode")
    if code is None:
        return bool(case.promised and answer.get(case.promised))
    return not isinstance(code, bool) and code in (0, case.taken_before)


def answered(answer: Any) -> Reply:
    """An answer, as JSON."""
    return Reply(200, {}, json.dumps(answer).encode())


def is_storable(value: Any) -> bool:
    """Whether every database takes the texts and numbers that are in it."""
    text = to_json(value).decode()
    return "\\u0000" not in text and len(text) < 100_000


WHOLE = json.dumps({**UPLOADED, "msgid": "m", "url": "https://e.com", "access_token": "t"})
FOREIGN = [
    *(WHOLE.encode(name) for name in ("utf-16", "utf-32")),
    *(WHOLE[:cut].encode() for cut in range(len(WHOLE))),
    b'{"errcode": 0, "a": [' + b"[]," * 100_000 + b"[]]}",
    *(b"", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b'{"errcode": ' + b"9" * 5_000 + b"}"),
]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_no_answer_is_no_success(case: Case) -> None:
    """Cut bytes, other encodings, too many levels and digits, with the status of a success or of a gateway."""
    for body in FOREIGN:
        for status in (200, 503):
            reply = Reply(status, {"retry-after": "\xb2"}, body)

            verdict = case.samples.CHANNEL.outcome(case.parts[0], case.samples.account(), reply, case.samples.ACCESS)

            assert not isinstance(verdict.outcome, Accepted | Partial), body


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_status_of_http_in_place_of_a_code_is_a_gateway_s_word(case: Case) -> None:
    """It means as little as a page of HTML: the vendor may have accepted the call all the same."""
    for code in (100, 403, "429", 502.0, 599):
        body = json.dumps({"errcode": code, "errmsg": "upstream", "msgid": "m"}).encode()
        for status in (200, 403, 502):
            assert verdicts(case, status, body) == verdicts(case, status, b"<html>")


def verdicts(case: Case, status: int, body: bytes) -> list[Verdict]:
    """What an answer means for each part."""
    reply, samples = Reply(status, {}, body), case.samples
    return [samples.CHANNEL.outcome(part, samples.account(), reply, samples.ACCESS) for part in case.parts]


TOKEN = {**OK, "access_token": "t", "expires_in": 7200}
SUITE, CUSTOMER = a_suite("https://vendor"), a_customer("https://vendor")
CODE = {"permanent_code": "c", "auth_corp_info": {"corpid": "wwacme"}}


def of_credentials() -> Iterator[tuple[Callable[[Reply], Any], list[Any]]]:
    """What reads each answer with a credential, and the answers."""
    suite, customer = (channel(one.channel).token_steps(one) for one in (SUITE, CUSTOMER))
    assert suite is not None
    assert suite.exchange is not None
    assert customer is not None
    yield lambda reply: app.CHANNEL.token_outcome(reply, app.account(), "s"), odd(TOKEN, {"errcode": 40001})
    yield lambda reply: suite.outcome(reply, SUITE), odd({"suite_access_token": "t", "expires_in": 7200})
    yield lambda reply: customer.outcome(reply, CUSTOMER), odd(TOKEN, {"errcode": 40014})
    yield suite.exchange.outcome, odd(CODE, {"errcode": 40078})
    given = {"accessToken": "t", "expireIn": 7200}
    answers = [*odd(sealed(given)), *map(sealed, altered(given))]
    yield lambda reply: youdu.CHANNEL.token_outcome(reply, youdu.account(), youdu.KEY), answers


@pytest.mark.parametrize("number", range(5))
def test_an_answer_with_a_credential_and_one_odd_value_is_read(number: int) -> None:
    """Granted, refused, or later: with a life that a database can add to the time."""
    read, answers = list(of_credentials())[number]
    for answer in answers:
        found = read(answered(answer))

        assert isinstance(found, TokenGranted | TokenRefused | TokenLater | TokenStale | CodeGranted)
        assert is_storable(found)
        if isinstance(found, TokenGranted):
            assert 0 < found.expires_in_s < 10**9
    for body in FOREIGN:
        assert not isinstance(read(Reply(200, {}, body)), TokenGranted | CodeGranted | TokenStale)
    assert isinstance(read(Reply(200, {}, b'{"errcode": 502, "errmsg": "upstream"}')), TokenLater)
