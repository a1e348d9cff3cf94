"""What comes before a signature is proved right: bounded for every channel, and refused at a glance."""

from __future__ import annotations

import pytest
from wecom_webhook_samples import CHANNEL as WEBHOOK, account as webhook
from youdu_samples import CHANNEL as YOUDU, account as youdu

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN
from tests.pipeline.suite_site import a_suite
from tests.support.runtime import an_account
from tests.support.youdu_vectors import KEY
from worker.channels.base import CallbackVerifier
from worker.channels.registry import channel
from worker.channels.wecom.callback import ENVELOPE_BYTES
from worker.domain.account import Secret
from worker.domain.callbacks.inbound import CallbackRefused

SECRETS = {"token": TOKEN, "aes_key": AES_KEY}
OA = youdu({"callback": {"token": Secret(lambda: TOKEN)}}, secret=Secret(lambda: KEY))
READERS: dict[str, CallbackVerifier] = {
    "app": channel("wecom_app").callback_verifier(an_account(), SECRETS, 300),
    "suite": channel("wecom_suite").callback_verifier(a_suite("http://vendor"), SECRETS, 300),
    "webhook": WEBHOOK.callback_verifier(webhook(), SECRETS, 300),
    "youdu": YOUDU.callback_verifier(OA, {"token": TOKEN, "aes_key": KEY}, 300),
}
UNSIGNED = {"msg_signature": "0" * 40, "timestamp": str(int(NOW)), "nonce": "n"}
NAMES = [b'"a%d":1' % n for n in range(5_000)]
TOO_MUCH = {
    "elements": b"<xml>" + b"<a/>" * 15_000 + b"</xml>",
    "a few elements": b"<xml>" + b"<a/>" * 40 + b"</xml>",
    "attributes": b"<xml " + b" ".join(b'a%d=""' % n for n in range(5_000)) + b"/>",
    "line ends": b"<xml><Encrypt>" + b"\n" * 50_000 + b"</Encrypt></xml>",
    "text": b"<xml><Encrypt>" + b"A" * ENVELOPE_BYTES + b"</Encrypt></xml>",
    "names": b"{" + b",".join(NAMES) + b"}",
    "a few names": b"{" + b",".join(NAMES[:40]) + b"}",
    "entries": b'{"encrypt":[' + b",".join([b"1"] * 500) + b"]}",
    "levels": b"[" * 20_000 + b"]" * 20_000,
    "escapes": b'{"encrypt":"' + b"\\u0041" * 9_000 + b'"}',
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("body", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_more_than_an_envelope_is_not_parsed(name: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser sees it: 64 KiB that are nothing but elements take one a hundred times as long."""

    def parse(*given: object, **more: object) -> object:
        raise AssertionError("a parser was given it")

    for parser in ("defusedxml.ElementTree.fromstring", "json.loads"):
        monkeypatch.setattr(parser, parse)

    with pytest.raises(CallbackRefused) as refused:
        READERS[name].read(UNSIGNED, body, NOW)

    assert refused.value.status in (400, 413)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "body",
    [
        b"<xml><ToUserName><![CDATA[ww1]]></ToUserName><AgentID>7</AgentID><Encrypt> <![CDATA[%s]]></Encrypt></xml>",
        b'{"toBuin": 1, "toApp": "yd", "tousername": "ww1", "agentid": 218, "encrypt": "%s"}',
    ],
    ids=["xml", "json"],
)
def test_a_long_envelope_is_read(name: str, body: bytes) -> None:
    """To its signature, or to the end of what is no XML or no JSON; also when its text stands in lines."""
    lines = body % b"\n".join([b"A" * 76] * 800)

    with pytest.raises(CallbackRefused, match=r"wrong signature|^not "):
        READERS[name].read(UNSIGNED, lines if body.startswith(b"<") else body % (b"A" * 60_000), NOW)
