"""What each answer means: for a call, for a token, and for every recipient under each of the four settings."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from youdu_samples import ACCESS, CHANNEL, account, part, reply, said, sent

from tests.support.youdu_vectors import APP_ID, BUIN, KEY, vector
from worker.channels.base import TokenGranted, TokenLater, TokenRefused
from worker.channels.youdu import Badge, Image, Mail, PopWindow
from worker.channels.youdu.envelope import BUSY_S, ERRCODES
from worker.crypto.youdu import YouduEnvelope
from worker.domain.call import Access
from worker.domain.errors import ConfigurationError
from worker.domain.outcome import Accepted, Parked, Partial, Progress, Rejected, Scope, StaleToken, Unknown, Wait

OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
MODES = ("strict", "partial", "partial-error", "unknown")
PEOPLE = {"users": ["alice", "Bob", "张三"]}


def outcome(answer: Any, spec: Any = None, mode: str = "unknown", message: Any = None, **more: Any) -> Any:
    """What an answer means to a part under a setting."""
    made = part(message, PEOPLE if spec is None else spec, **more)
    return CHANNEL.outcome(made, account({"invalid_users": mode}), answer, ACCESS).outcome


def refused(found: Any) -> list[str]:
    """Those an outcome names."""
    return [one.recipient for one in found.refusals]


# -- the four settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("errmsg", ["ok", "OK", "", " ok "])
def test_a_plain_success_is_for_everybody(mode: str, errmsg: str):
    """No id, no list, nothing to look at."""
    found = outcome(said(0, errmsg), mode=mode)

    assert isinstance(found, Accepted)
    assert (found.receipt.msgid, found.receipt.warning, found.receipt.from_repeat) == (None, None, False)


@pytest.mark.parametrize("mode", MODES)
def test_another_text_that_names_nobody_is_taken_with_a_warning(mode: str):
    """errcode decides; a person should check it."""
    found = outcome(said(0, "success"), mode=mode)

    assert isinstance(found, Accepted)
    assert "errmsg" in found.receipt.warning


@pytest.mark.parametrize(("mode", "kind"), list(zip(MODES, (Unknown, Partial, Partial, Unknown), strict=True)))
def test_errcode_0_that_names_somebody(mode: str, kind: type):
    """The named are refused. Whether the others have it is taken for granted only where the account says so."""
    found = outcome(said(0, "invalid toUser: bob"), mode=mode)

    assert isinstance(found, kind)
    assert refused(found) == ["Bob"]
    if isinstance(found, Unknown):
        assert found.held
        assert "invalid_users" in found.reason


@pytest.mark.parametrize(("mode", "kind"), list(zip(MODES, (Progress, Unknown, Partial, Unknown), strict=True)))
def test_200007_that_names_somebody(mode: str, kind: type):
    """Strict: nobody got it, so it goes on without the named. Else the others have it, or nobody knows."""
    found = outcome(said(200007, "invalid toUser [bob]"), mode=mode)

    assert isinstance(found, kind)
    if isinstance(found, Progress):
        assert {**PEOPLE, "left_out": ["Bob"]} == found.spec
    else:
        assert refused(found) == ["Bob"]
    if isinstance(found, Unknown):
        assert found.held


def test_an_errmsg_in_another_type_names_somebody_too():
    """A list of names is no success for everybody."""
    found = outcome(reply({"errcode": 0, "errmsg": ["bob"]}), mode="partial")

    assert refused(found) == ["Bob"]


@pytest.mark.parametrize(("mode", "kind"), list(zip(MODES, (Rejected, Unknown, Unknown, Unknown), strict=True)))
def test_200007_that_names_nobody(mode: str, kind: type):
    """Some or all are unknown to the server: without names only a strict one leaves no doubt."""
    found = outcome(said(200007, "invalid toUser"), mode=mode)

    assert isinstance(found, kind)
    assert refused(found) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("errcode", [0, 200007])
def test_an_answer_that_names_everybody_refuses_everybody(mode: str, errcode: int):
    """Nobody is left of whom one could be unsure; departments are never named."""
    found = outcome(said(errcode, "invalid: 张三|ALICE|bob"), mode=mode)

    assert isinstance(found, Rejected)
    assert sorted(PEOPLE["users"]) == sorted(refused(found))
    and_a_department = {**PEOPLE, "parties": ["7"]}
    assert not isinstance(outcome(said(errcode, "invalid: 张三|ALICE|bob"), and_a_department, mode), Rejected)


@pytest.mark.parametrize("mode", MODES)
def test_200007_for_a_single_one_can_only_mean_that_one(mode: str):
    """Also when its words name nobody."""
    found = outcome(said(200007, "no"), {"users": ["alice"]}, mode)

    assert isinstance(found, Rejected)
    assert refused(found) == ["alice"]


def test_a_strict_server_is_asked_again_until_nobody_unknown_is_left():
    """Each round leaves out more; what comes of the last stands for all who were left out before."""
    first = outcome(said(200007, "bob"), mode="strict")
    second = outcome(said(200007, "张三"), first.spec, mode="strict")

    taken = outcome(said(0), second.spec, mode="strict")
    alone = outcome(said(200007), second.spec, mode="strict")

    assert second.spec["left_out"] == ["Bob", "张三"]
    assert type(taken) is Partial
    assert refused(taken) == ["Bob", "张三"]
    assert type(alone) is Rejected
    assert refused(alone) == ["Bob", "张三", "alice"]


def test_addresses_are_left_out_as_accounts_are():
    """And a name that was left out before is not looked for again, so that it ends whatever the server repeats."""
    mail = Mail(action="new").document()
    people = {"emails": ["A@b.test", "c@d.test", "e@f.test"]}
    first = outcome(said(200007, "a@b.test"), people, "strict", mail)
    built = CHANNEL.request(part(mail, dict(first.spec)), account(), ACCESS, flagged=False)

    again = outcome(said(200007, "a@b.test"), dict(first.spec), "strict", mail)
    taken = outcome(said(0, "still a@b.test"), dict(first.spec), "strict", mail)

    assert sent(built)["toEmail"] == "c@d.test|e@f.test"
    assert type(again) is Rejected
    assert [(one.recipient, one.kind) for one in again.refusals] == [("A@b.test", "email")]
    assert type(taken) is Partial
    assert refused(taken) == ["A@b.test"]


def test_a_call_without_those_left_out_does_not_name_them():
    """What is rendered of such a part."""
    built = CHANNEL.request(part(spec={**PEOPLE, "left_out": ["bob"]}), account(), ACCESS, flagged=False)

    assert sent(built)["toUser"] == "alice|张三"


@pytest.mark.parametrize(
    ("errmsg", "names"),
    [
        ("invalid toUser: alice|bob", ["alice", "Bob"]),
        ("invalid users [alice,bob]", ["alice", "Bob"]),
        ('{"users":["alice","bob"]}', ["alice", "Bob"]),
        ("no such user alice.", ["alice"]),
        ("用户bob不存在", ["Bob"]),
        ("用户：张三，不存在", ["张三"]),
        ("alicea bobby malice", []),
        ("alice-2 x.bob bob@corp", []),
        ("invalid 用户 \n bob\t", ["Bob"]),
    ],
)
def test_names_are_found_in_whatever_form(errmsg: str, names: list[str]):
    """Its form is not documented: words of their own count, parts of other words do not."""
    found = outcome(said(0, errmsg), mode="partial")

    assert names == (refused(found) if isinstance(found, Partial) else [])


@pytest.mark.parametrize(
    ("errmsg", "spec"),
    [
        ("invalid user", {"users": ["user", "alice"]}),  # an account may be called like a word of the sentence
        ("用户张三丰不存在", {"users": ["张三", "alice"]}),  # where does the name end?
    ],
)
def test_what_may_be_a_name_and_may_be_none_is_open(errmsg: str, spec: dict[str, Any]):
    """Not even an account that trusts the list is sure then; nobody is accused."""
    found = outcome(said(0, errmsg), spec, "partial")

    assert isinstance(found, Unknown)
    assert found.held
    assert refused(found) == []


def test_a_word_of_the_sentence_in_a_list_is_a_name():
    """`user` between bars is somebody."""
    assert refused(outcome(said(0, "invalid user: bob|user"), {"users": ["user", "alice"]}, "partial")) == ["user"]


def test_names_with_spaces_and_addresses_are_found_too():
    """Accounts may hold nearly everything; addresses stand in toEmail."""
    spaced = outcome(said(0, "invalid: li si, x"), {"users": ["Li Si", "alice"]}, "partial")
    mail = outcome(said(0, "bad a@b.test|x"), {"emails": ["A@b.test", "c@d.test"]}, "partial", Mail().document())

    assert refused(spaced) == ["Li Si"]
    assert [(one.recipient, one.kind) for one in mail.refusals] == [("A@b.test", "email")]


@pytest.mark.parametrize(
    ("errmsg", "names"),
    [
        ("invalid toUser: zhang(2)", ["zhang(2)"]),
        ("invalid toUser: [zhang(2)]", ["zhang(2)"]),
        ("invalid toUser: zhang(2), zhang", ["zhang", "zhang(2)"]),
        ("invalid toUser: zhang|zhang(2)", ["zhang", "zhang(2)"]),
        ("invalid toUser: zhang", ["zhang"]),
        ("invalid toUser: li si", ["Li Si"]),
        ("invalid toUser: z(1)", ["z(1)"]),
        ("invalid toUser: 张三(2)", ["张三(2)"]),
    ],
)
def test_an_account_within_the_name_of_another_is_not_named_by_it(errmsg: str, names: list[str]):
    """Only `zhang(2)` was refused, so `zhang` has the message and must not be sent it again."""
    users = ["zhang", "zhang(2)", "Li", "Li Si", "z", "z(1)", "张三", "张三(2)", "alice"]

    taken = outcome(said(0, errmsg), {"users": users}, "partial")
    again = outcome(said(200007, errmsg), {"users": users}, "strict")

    assert type(taken) is Partial
    assert refused(taken) == names
    assert names == again.spec["left_out"]


def test_a_name_in_a_longer_one_that_is_unclear_is_unclear_too():
    """It is not clear where `张三(2)` ends, so nobody is accused, least of all `张三`."""
    found = outcome(said(0, "用户：张三(2)不存在"), {"users": ["张三", "张三(2)", "alice"]}, "partial")

    assert type(found) is Unknown
    assert refused(found) == []


def test_a_name_beside_one_that_is_unclear_is_read():
    """`bob` ends where the Chinese name begins, whether that one is sure or not."""
    found = outcome(said(0, "用户张三bob"), PEOPLE, "partial")

    assert type(found) is Unknown
    assert refused(found) == ["Bob"]


def test_a_thousand_names_are_read_whole():
    """More text than is kept of an errmsg."""
    users = [f"employee-number-{n:05}" for n in range(1000)]
    found = outcome(said(0, "invalid: " + "|".join(users[1:])), {"users": users}, "partial")

    assert users[1:] == refused(found)


@pytest.mark.parametrize("errcode", [0, 200007])
def test_more_text_than_a_list_of_all_names_is_not_searched(errcode: int):
    """Each of a thousand names would take the whole of it, for minutes. What it says of them stays open."""
    users = [f"u{n:04}" for n in range(1000)]
    found = outcome(said(errcode, "|".join(users * 10)), {"users": users}, "partial")

    assert type(found) is Unknown
    assert refused(found) == []


@pytest.mark.parametrize("message", [PopWindow(tip="t"), Badge(count=1)])
def test_pop_ups_and_badges_are_for_people_too(message: Any):
    """The same words mean the same."""
    document = message.document()

    assert isinstance(outcome(said(0), {"users": ["a"]}, message=document), Accepted)
    assert isinstance(outcome(said(200007, "a"), {"users": ["a"]}, message=document), Rejected)


# -- single codes -----------------------------------------------------------------------------------------------------


def test_a_lost_media_id_is_uploaded_again_unless_a_call_is_in_doubt():
    """200010: only for files that the job holds itself."""
    message = {**Image().document(), "files": {"image.media_id": {}}}
    gone = said(200010, "no such media")

    assert outcome(gone, message=message).retry_with == "media"
    assert outcome(gone, message=message, in_doubt=True).retry_with is None
    assert outcome(gone, message=Image(media_id="m").document()).retry_with is None


@pytest.mark.parametrize("code", [100000, 100001, 100002])
def test_token_codes(code: int):
    """Another token; a call that carries none can only be looked into."""
    window = part(PopWindow(tip="t").document())
    with_token = account({"legacy_token": True})

    assert isinstance(outcome(said(code)), StaleToken)
    parked = CHANNEL.outcome(window, account(), said(code), ACCESS).outcome
    assert parked.scope == Scope.LANE
    assert "legacy_token" in parked.remedy
    assert isinstance(CHANNEL.outcome(window, with_token, said(code), ACCESS).outcome, StaleToken)
    assert CHANNEL.request(window, account(), ACCESS, flagged=False).query == {}
    assert CHANNEL.request(window, with_token, ACCESS, flagged=False).query == {"accessToken": "tok-0001"}


def test_the_wrong_kind_of_app_parks_its_kind_and_a_wrong_key_the_account():
    """100005 after a good token is about the call; 100006 is about everything."""
    assert Scope.LANE is outcome(said(100005)).scope
    assert Scope.ACCOUNT is outcome(said(100006)).scope
    assert "44 characters" in outcome(said(100006)).remedy


def test_an_undocumented_code_is_refused_with_its_number():
    """Parsing survives it."""
    assert ERRCODES.find(777) is None
    assert "777" in outcome(said(777)).reason


def test_an_answer_of_a_repeat_says_so():
    """It proves that the call was taken, not which."""
    assert outcome(said(0), in_doubt=True).receipt.from_repeat


def test_an_errcode_in_an_http_error_still_decides():
    """Design: errcode, not the status."""
    assert isinstance(outcome(reply({"errcode": 0, "errmsg": "ok"}, 500)), Accepted)


@pytest.mark.parametrize("status", [429, 503])
def test_busy_proxies(status: int):
    """What is harmless waits; a message is in doubt, because the server behind the proxy may have taken it."""
    upload = part({"type": "upload", "files": {"media": {}}}, {})
    bare, asks = reply(b"", status), reply(b"", status, retry_after="7")

    assert Unknown(f"http_{status} without the server's JSON", delay=BUSY_S) == outcome(bare)
    assert Unknown(f"http_{status} without the server's JSON", delay=7.0) == outcome(asks)
    assert (
        Wait(Scope.LANE, BUSY_S, f"http_{status} without the server's JSON")
        == CHANNEL.outcome(upload, account(), bare, ACCESS).outcome
    )
    assert (
        Wait(Scope.LANE, 7.0, f"http_{status} without the server's JSON")
        == CHANNEL.outcome(upload, account(), asks, ACCESS).outcome
    )


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 405])
def test_an_answer_from_a_wrong_place_says_what_to_correct(status: int):
    """The message is in doubt all the same; a token is asked for again, and found by itself once a portal is gone."""
    found = outcome(reply(b"<html>", status))
    token = CHANNEL.token_outcome(reply(b"", status), account(), KEY)

    assert type(found) is Unknown
    assert not found.held
    assert "base_url" in found.reason
    assert type(token) is TokenLater
    assert token.alone
    assert "base_url" in (token.remedy or "")


# -- what is kept of the server's words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errmsg", "kept"),
    [
        ("ok", "ok"),
        ("invalid appId", "invalid appId"),
        ("invalid toUser: alice|bob, 张三", "invalid toUser: ***"),
        ("token tok-0001 expired", "token *** expired"),
        ("text was: hello world", "text ***"),
        ("a" * 5000, "***"),
    ],
)
def test_of_an_errmsg_only_the_servers_own_words_are_kept(errmsg: str, kept: str):
    """It lists people, in no documented form."""
    verdict = CHANNEL.outcome(part(spec=PEOPLE), account(), said(0, errmsg), ACCESS)

    assert kept == verdict.errmsg


# -- envelopes that do not open ---------------------------------------------------------------------------------------


def upload_answer(encrypt: Any) -> Any:
    made = part({"type": "upload", "files": {"media": {}}}, {})
    return CHANNEL.outcome(made, account(), reply({"errcode": 0, "errmsg": "ok", "encrypt": encrypt}), ACCESS).outcome


FOREIGN_APP = YouduEnvelope(KEY, "yd_other").seal(b'{"mediaId":"m"}', bytes(16))
ORG = YouduEnvelope(KEY, "sysOrgAssistant").seal(b'{"mediaId":"m"}', bytes(16))
BROKEN = [
    None,
    5,
    "",
    "not base64!",
    vector("V6").sealed[:-4],
    vector("V6").sealed[:64],
    YouduEnvelope(OTHER_KEY, APP_ID).seal(b'{"mediaId":"m"}', bytes(16)),
    FOREIGN_APP,
    YouduEnvelope(KEY, APP_ID).seal(b"[]", bytes(16)),
    YouduEnvelope(KEY, APP_ID).seal(b"\xff", bytes(16)),
]


@pytest.mark.parametrize("encrypt", BROKEN, ids=range(len(BROKEN)))
def test_an_answer_that_does_not_open_parks_the_account(encrypt: Any):
    """Missing, cut, another key, another app: with what to correct; for a token as for an upload."""
    found = upload_answer(encrypt)
    answer = reply({"errcode": 0, "errmsg": "ok", "encrypt": encrypt})

    assert type(found) is Parked
    assert found.scope == Scope.ACCOUNT
    assert "EncodingAESKey" in found.remedy
    assert isinstance(CHANNEL.token_outcome(answer, account(), KEY), TokenRefused)


def test_an_answer_in_another_apps_name_is_taken():
    """Real servers were seen to answer as sysOrgAssistant."""
    assert upload_answer(ORG).receipt.media_id == "m"


def test_an_answer_without_a_media_id_is_reported():
    """Taken, but somebody should look."""
    assert "mediaId" in upload_answer(YouduEnvelope(KEY, APP_ID).seal(b"{}", bytes(16))).receipt.warning


def test_a_key_that_is_none_is_a_configuration_error():
    """One sentence that names the setting, never the value."""
    for call in (
        lambda: CHANNEL.request(part(), account(), Access("t", "secret-but-no-key"), flagged=False),
        lambda: CHANNEL.token_request(account(), "secret-but-no-key", 1),
    ):
        with pytest.raises(ConfigurationError, match=r"accounts\.oa\.secret .*44 characters") as caught:
            call()
        assert "secret-but-no-key" not in str(caught.value)


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(0, "ok", {"accessToken": "t", "expireIn": 7200}), TokenGranted),
        (said(0, "ok", {"accessToken": "t"}), TokenGranted),
        (said(0, "ok", {"accessToken": "t", "expireIn": 0}), TokenLater),
        (said(0, "ok", {"expireIn": 7200}), TokenLater),
        (said(0, "ok"), TokenRefused),
        (said(100009, "invalid buin"), TokenRefused),
        (said(100005, "invalid appId"), TokenRefused),
        (said(100006), TokenRefused),
        (said(-1), TokenLater),
        (said(300312), TokenLater),
        (said(100001), TokenLater),
        (said(31), TokenRefused),
        (reply(b"", 502), TokenLater),
        (reply(b"<html>", 200), TokenLater),
        (reply(b"", 503, retry_after="30"), TokenLater),
    ],
)
def test_every_answer_of_gettoken(answer: Any, kind: type):
    """Granted, refused so that an operator must act, or later."""
    found = CHANNEL.token_outcome(answer, account(), KEY)

    assert isinstance(found, kind)
    if isinstance(found, TokenGranted):
        assert (found.token, found.expires_in_s) == ("t", 7200)
    if isinstance(found, TokenRefused):
        assert found.remedy
    if answer.status == 503:
        assert found.delay == 30.0


def test_the_clock_is_in_the_request_and_nowhere_else():
    """The same instant gives the same request; the fingerprint of credentials may rely on it."""
    first, second = (CHANNEL.token_request(account(), KEY, now) for now in (0, 1))

    assert first == CHANNEL.token_request(account(), KEY, 0)
    assert first.body != second.body
    assert str(BUIN).encode() in first.body
