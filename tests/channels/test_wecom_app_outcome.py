"""What the vendor's answers mean."""

from __future__ import annotations

import pytest
from wecom_app_samples import ACCESS, CHANNEL, account, card, part, reply, text

from worker.channels.base import TokenGranted, TokenLater, TokenRefused
from worker.channels.wecom.answer import ELSEWHERE, ERRCODES, PROXY_LOGIN
from worker.channels.wecom_app import CardUpdate, Image
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Parked,
    Partial,
    Penalty,
    Refusal,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Wait,
    unknown_code,
)

RECALL = part({}, {"msgid": "M"}, kind="recall")
UPDATE = part(CardUpdate(replace_name="x").document(), {"users": ["LiHua", "b"]}, kind="update_card")
UPLOAD = part({"type": "upload", "files": {"media": {"upload_type": "file"}}}, {}, kind="upload")
FILE_SEND = {**Image().document(), "files": {"image.media_id": {"blob": "b"}}}


def verdict(answer, made=None):
    return CHANNEL.outcome(part() if made is None else made, account(), answer, ACCESS)


def outcome(answer, made=None):
    return verdict(answer, made).outcome


def coded(code, errmsg="x", **more):
    return reply({"errcode": code, "errmsg": errmsg, **more})


def test_plain_success():
    """A send that was taken for everybody gives its msgid."""
    found = verdict(reply("send_ok"))

    assert isinstance(found.outcome, Accepted)
    assert found.outcome.receipt.msgid.startswith("Zk3v")
    assert (found.outcome.receipt.warning, found.outcome.receipt.from_repeat) == (None, False)
    assert (found.errcode, found.errmsg, found.hint, found.caller_ip) == (0, "ok", None, None)


def test_partial_success_in_the_callers_spelling():
    """Refused recipients are named as the caller wrote them, each once, and strangers are only counted."""
    spec = {"users": ["Ghost01", "lihua", "TEMP07"], "parties": ["999"], "tags": ["4"]}
    found = outcome(reply("send_partial_card"), part(card(), spec))

    assert isinstance(found, Partial)
    assert {
        Refusal("Ghost01", "user", "invaliduser"),
        Refusal("TEMP07", "user", "unlicenseduser"),
        Refusal("999", "party", "invalidparty"),
    } == set(found.refusals)
    assert found.receipt.response_code.startswith("RC-")
    assert found.receipt.warning == "refused ids that are not among the recipients: 1"


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (None, 0),
        ("", 0),
        ("|", 0),
        ([], 0),
        ("LIHUA", 1),
        (" lihua | lihua", 1),
        (["lihua"], 1),
        ({"a": 1}, 0),
        (True, 0),
    ],
)
def test_shapes_of_the_lists(value, refused):
    """Absent, null, empty, joined and array lists are read alike; other types warn."""
    found = outcome(coded(0, "ok", msgid="m", invaliduser=value))

    assert refused == len(getattr(found, "refusals", ()))
    assert (isinstance(value, dict | bool)) == bool(found.receipt.warning)


def test_numbers_in_the_lists():
    """A department given back as a number is matched too."""
    found = outcome(coded(0, "ok", msgid="m", invalidparty=12), part(spec={"parties": ["12"]}))

    assert (Refusal("12", "party", "invalidparty"),) == found.refusals


def test_all_invalid_refuses_all():
    """81013 refuses every recipient of the part, not only those the vendor lists."""
    found = outcome(reply("send_all_invalid"), part(spec={"users": ["Ghost01", "b"], "tags": ["4"]}))

    assert isinstance(found, Rejected)
    assert {
        Refusal("Ghost01", "user", "invaliduser"),
        Refusal("b", "user", "invaliduser"),
        Refusal("4", "tag", "invalidtag"),
    } == set(found.refusals)


@pytest.mark.parametrize(
    ("made", "answer", "warning"),
    [
        (part(), reply("send_wrong_format"), "the vendor warns of a wrong JSON format"),
        (part(), coded(0, "ok"), "no msgid in the answer"),
        (part(card()), coded(0, "ok", msgid="m"), "no response_code in the answer"),
        (UPLOAD, coded(0, "ok"), "no media_id in the answer"),
        (part(), coded(0, "ok", msgid="x" * 5000), "no msgid in the answer"),
    ],
)
def test_success_with_an_alarm(made, answer, warning):
    """errcode 0 without a promised id, or with the vendor's alarm, is taken and said."""
    found = outcome(answer, made)

    assert isinstance(found, Accepted)
    assert warning == found.receipt.warning


def test_follow_ups():
    """Recall, upload and update read their own answers."""
    upload = outcome(reply("upload_ok"), UPLOAD)
    update = outcome(reply("update_partial"), UPDATE)

    assert Accepted(CallReceipt()) == outcome(reply("recall_ok"), RECALL)
    assert upload.receipt.media_id.startswith("3Qx")
    assert upload.receipt.extra == {"type": "file", "created_at": "1767225600"}
    assert (Refusal("LiHua", "user", "invaliduser"),) == update.refusals
    assert Rejected("60140 the response_code is used, expired or foreign") == outcome(reply("code_spent"), UPDATE)


def test_success_without_errcode():
    """An answer without errcode is a success only when the promised id is there."""
    assert outcome(reply({"msgid": "m"})).receipt.msgid == "m"
    assert isinstance(outcome(reply({"errmsg": "ok"}), RECALL), Unknown)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-1, Retry("-1 the vendor is busy", busy=True)),
        (6000, Retry("6000 data version conflict")),
        (40014, StaleToken("40014 bad access_token")),
        (40001, StaleToken("40001 bad credential")),
        (41001, StaleToken("41001 access_token missing")),
        (42001, StaleToken("42001 access_token expired")),
        (45009, Wait(Scope.LANE, 60.0, "45009 frequency limit", Penalty.FREQUENCY)),
        (45033, Wait(Scope.LANE, 2.0, "45033 too many concurrent calls", Penalty.PARALLEL)),
        (45035, Wait(Scope.LANE, 2.0, "45035 concurrent change conflict", Penalty.SERIAL)),
        (45036, Wait(Scope.LANE, 60.0, "45036 data access restricted after abnormal traffic", Penalty.ALARM)),
        (44004, Rejected("44004 text content empty", ends_doubt=True)),
        (42014, Rejected("42014 task_id exists, is empty, too long or illegal")),
        (85002, Rejected("85002 forbidden words")),
        (777, unknown_code(777)),
    ],
)
def test_codes(code, expected):
    """A code means what its row says; an unseen one is final."""
    assert expected == outcome(coded(code))


@pytest.mark.parametrize("code", [40003, 40058, 42031, 45004, 81013, 82001, 90207])
def test_refusals_that_last(code):
    """Message and recipients never change: an earlier call of the same send met it, too. A follow-up's may not have."""
    assert outcome(coded(code)).ends_doubt
    assert not outcome(coded(code), UPDATE).ends_doubt


@pytest.mark.parametrize("code", [40007, 40201, 42014, 42029, 48005, 60140, 84200, 85002, 86003, 301015, 777])
def test_refusals_that_may_be_new(code):
    """Files age, chats go, lists of forbidden words grow: nothing is said of an earlier call."""
    assert not getattr(outcome(coded(code)), "ends_doubt", False)


PARKED = {
    Scope.ACCOUNT: (40013, 40056, 40091, 45031, 50003, 60020, 301002, 301007),
    Scope.LANE: (43012, 48002, 60011, 90206, 90208),
}


@pytest.mark.parametrize(("scope", "code"), [(scope, code) for scope, codes in PARKED.items() for code in codes])
def test_parked_codes(scope, code):
    """Configuration of the account parks the account, what only one message kind lacks its lane; with a remedy."""
    found = outcome(coded(code))

    assert type(found) is Parked
    assert found.scope == scope
    assert found.remedy


def test_an_untrusted_ip_is_named_in_the_remedy():
    """60020: the operator reads which address to trust; other refusals name none, though their text does too."""
    untrusted, elsewhere = outcome(reply("ip_not_trusted")), outcome(coded(43012, "x, from ip: 203.0.113.7, more"))

    assert untrusted.remedy.endswith("(the vendor sees 203.0.113.7)")
    assert "203.0.113.7" not in elsewhere.remedy


@pytest.mark.parametrize("written", ["0", " 0 ", 0.0])
def test_errcode_in_other_types(written):
    """An errcode written as a string or a float is still read."""
    assert isinstance(outcome(coded(written, "ok", msgid="m")), Accepted)


def test_doubt():
    """After an unanswered call: 42014 means taken, success comes from a repeat, and media is not renewed."""
    doubted = outcome(reply("task_id_known"), part(card(), in_doubt=True))
    recall = part({}, {"msgid": "M"}, kind="recall", in_doubt=True)

    assert doubted.receipt.from_repeat
    assert "lost" in doubted.receipt.warning
    assert outcome(reply("send_ok"), part(in_doubt=True)).receipt.from_repeat
    assert outcome(reply("recall_unknown"), recall).receipt.from_repeat
    assert isinstance(outcome(reply("recall_unknown"), RECALL), Rejected)
    assert None is outcome(reply("media_gone"), part(FILE_SEND, in_doubt=True)).retry_with


@pytest.mark.parametrize("code", [40007, 40145])
def test_media_heals(code):
    """A lost media_id of a file we keep is healed; one given by the caller is not."""
    assert outcome(coded(code), part(FILE_SEND)).retry_with == "media"
    assert None is outcome(coded(code), part(Image(media_id="m").document())).retry_with


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(b"<html>", 502), Unknown("http_502 without the vendor's JSON")),
        (reply(b"<html>"), Unknown("http_200 without the vendor's JSON")),
        (reply(b""), Unknown("http_200 without the vendor's JSON")),
        (reply([1]), Unknown("http_200 without the vendor's JSON")),
        (reply({"error": "x"}, 500), Unknown("http_500 without the vendor's JSON")),
        (reply({"errcode": True}), Unknown("http_200 without the vendor's JSON")),
        (reply({"errcode": 10**30}), Unknown("http_200 without the vendor's JSON")),
        (reply({"errcode": 1e300}), Unknown("http_200 without the vendor's JSON")),
        (reply({"errcode": [0]}), Unknown("http_200 without the vendor's JSON")),
        (reply(b"[" * 100_000), Unknown("http_200 without the vendor's JSON")),
        (reply(b" " * (4 * 1024 * 1024 + 1)), Unknown("http_200 without the vendor's JSON")),
        (reply(b"", 503), Unknown("http_503 without the vendor's JSON")),
        (reply(b"", 503, retry_after="7"), Unknown("http_503 without the vendor's JSON", delay=7.0)),
        (reply(b"", 429), Unknown("http_429 without the vendor's JSON")),
        (reply(b"", 429, retry_after="9" * 400), Unknown("http_429 without the vendor's JSON", delay=3600.0)),
        (
            reply(b"", 429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"),
            Unknown("http_429 without the vendor's JSON", delay=60.0),
        ),
        (reply(b"", 429, retry_after="\xb2"), Unknown("http_429 without the vendor's JSON", delay=60.0)),
    ],
)
def test_not_the_vendor(answer, expected):
    """What is not the vendor's JSON is unknown, also where it asks to wait: a proxy may have passed the call on."""
    assert expected == outcome(answer)


def test_errcode_decides():
    """The vendor's JSON counts whatever the HTTP status says."""
    assert isinstance(outcome(reply("send_ok", 502)), Accepted)
    assert isinstance(outcome(reply("busy", 503, retry_after="9")), Retry)


def test_trace_of_an_error():
    """Hint and caller ip are read, and the errmsg keeps its reason alone."""
    found = verdict(reply("ip_not_trusted"))

    assert (found.hint, found.caller_ip) == ("1767225600123456789012351", "203.0.113.7")
    assert found.errmsg == "not allow to access from your ip"


@pytest.mark.parametrize(
    "errmsg",
    [
        "invalid userid LiHua",
        "bad content 'Quarterly bonus 4711'",
        "content: quarterly bonus 4711",
        "forbidden 奖金 word",
        "forbidden %E5%A5%96 or \\u5956",
        "token 7f2c1d90a47f2c1d90a4 is bad",
        'title "half open',
        "x" * 5000 + " quarterly",
    ],
)
def test_errmsg_is_redacted(errmsg):
    """No recipient, text or token of ours stays in the vendor's text."""
    made = part(text("Quarterly bonus 4711: 奖金, half open"), {"users": ["LiHua"]})

    kept = verdict(coded(40003, errmsg), made).errmsg.lower()

    assert not any(
        word in kept for word in ("lihua", "quarterly", "bonus", "4711", "奖金", "7f2c1d90a4", "half", "e5", "5956")
    )
    assert len(kept) <= 200


def test_the_vendors_words_stay():
    """The vendor's own words and field paths survive the redaction."""
    made = part(text("the title is invalid"))

    kept = verdict(coded(40058, "miniprogram_notice.title exceed min chinese words 4. invalid Request"), made).errmsg

    assert kept == "miniprogram_notice.title exceed min chinese words 4. invalid Request"


def test_strange_characters_can_be_stored():
    """NULs and half characters of the vendor never reach a column."""
    found = verdict(reply(b'\xef\xbb\xbf{"errcode":0,"errmsg":"o\\u0000k\\ud800\x01","msgid":"a\\u0000\\udfff"}'))

    assert found.outcome.receipt.msgid == "a\ufffd?"
    (found.errmsg + found.outcome.receipt.msgid).encode()
    assert "\x00" not in found.errmsg


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply("token_ok"), TokenGranted("tok_7f2c1d90a4", 7200)),
        (reply({"access_token": "t", "expires_in": "60"}), TokenGranted("t", 60)),
        (reply({"errcode": 0, "access_token": "t"}), TokenGranted("t", 7200)),
        (reply({"errcode": 0}), TokenLater("errcode 0 without a usable token", 5.0)),
        (
            reply({"errcode": 0, "access_token": "t", "expires_in": 0}),
            TokenLater("errcode 0 without a usable token", 5.0),
        ),
        (reply("busy"), TokenLater("-1 the vendor is busy", 5.0)),
        (reply("frequency_limit"), TokenLater("45009 frequency limit", 60.0, Penalty.FREQUENCY)),
        (reply(b"<html>", 502), TokenLater("http_502: no vendor answer", 5.0, alone=True)),
        (reply(b"<html>", 404), TokenLater("http_404: no vendor answer", 5.0, remedy=ELSEWHERE, alone=True)),
        (reply(b"", 302), TokenLater("http_302: no vendor answer", 5.0, remedy=ELSEWHERE, alone=True)),
        (reply(b"", 407), TokenLater("http_407: no vendor answer", 5.0, remedy=PROXY_LOGIN, alone=True)),
        (reply(b"", 503, retry_after="9"), TokenLater("http_503: no vendor answer", 9.0)),
        (
            reply({"errcode": 777}),
            TokenRefused("errcode 777 (not in the catalogue)", "look the code up on page 90313", 777),
        ),
    ],
)
def test_token_answers(answer, expected):
    """A token is granted, or asked for again later, or refused with a remedy."""
    assert expected == CHANNEL.token_outcome(answer, account(), "s3cret")


@pytest.mark.parametrize("code", [40001, 40013, 40091, 41002, 41004, 45031, 50003, 60020, 301002, 301007, 2000002])
def test_refused_credentials(code):
    """A wrong secret, corp or address is not knocked with again."""
    found = CHANNEL.token_outcome(coded(code), account(), "s3cret")

    assert type(found) is TokenRefused
    assert found.errcode == code
    assert found.remedy


@pytest.mark.parametrize("code", [40001, 40014, 41001, 42001])
def test_what_gettoken_refuses_is_the_secret(code):
    """No token goes with that call, whatever the code says of one."""
    found = CHANNEL.token_outcome(coded(code), account(), "s3cret")

    assert found.reason.startswith(f"{code} the secret is wrong")
    assert found.remedy == "correct corpid and secret"


def test_an_untrusted_address_is_named_at_gettoken_too():
    """With the vendor's trace number beside it."""
    errmsg = "not allow to access from your ip, hint: [1767225600123456789012347], from ip: 203.0.113.7, more info at x"

    found = CHANNEL.token_outcome(reply({"errcode": 60020, "errmsg": errmsg}), account(), "s3cret")

    assert found.remedy.endswith("(the vendor sees 203.0.113.7)")
    assert found.hint == "1767225600123456789012347"


def test_token_is_not_shown():
    """A granted token stays out of its repr."""
    assert "tok_" not in repr(CHANNEL.token_outcome(reply("token_ok"), account(), "s3cret"))


@pytest.mark.parametrize("code", [42032, 42034, 42048, 90205, 0, 12345])
def test_unlisted_codes(code):
    """Codes the vendor does not list have no row."""
    assert None is ERRCODES.find(code)
