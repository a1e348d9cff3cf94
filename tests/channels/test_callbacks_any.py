"""A callback with one odd thing in it is read into what every database can store, or refused with a phrase."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pytest
from pydantic_core import to_json
from test_wecom_webhook_callback import ATTACHMENT, EVENTS
from youdu_samples import account as youdu

from tests.channels.callback_samples import AES_KEY, CORP, NOW, RANDOM, TOKEN, press
from tests.pipeline.suite_site import a_suite
from tests.support.odd import WORD, altered
from tests.support.runtime import an_account
from tests.support.youdu_vectors import APP_ID, BUIN, KEY
from worker.channels.base import CallbackVerifier
from worker.channels.registry import channel
from worker.channels.wecom.callback import MAX_ID_LENGTH
from worker.crypto.envelope import Envelope
from worker.crypto.youdu import YouduEnvelope, signature
from worker.domain.account import Account, Secret
from worker.domain.callbacks.inbound import CallbackRefused, Inbound

SECRETS = {"token": TOKEN, "aes_key": AES_KEY}
ROBOT = Account("alerts", "wecom_webhook", "http://vendor", {"edition": "push"})
OA = youdu({"callback": {"token": Secret(lambda: TOKEN)}}, secret=Secret(lambda: KEY))
CHOSEN = """<SelectedItems><SelectedItem><QuestionKey>q</QuestionKey><OptionIds><OptionId>a</OptionId>
<OptionId>b</OptionId></OptionIds></SelectedItem></SelectedItems>"""
SUITE = f"<SuiteId>wwsuite</SuiteId><TimeStamp>{int(NOW)}</TimeStamp><InfoType>{{}}</InfoType>"
GRANTS = {"suite_ticket": "SuiteTicket", "create_auth": "AuthCode", "cancel_auth": "AuthCorpId"}
SAID = {"fromUser": "alice", "createTime": int(NOW), "packageId": "p1", "msgType": "text", "text": {"content": "hi"}}


@dataclass(frozen=True)
class Site:
    """What reads the callbacks of an account, how the vendor seals one, and what it may seal."""

    verifier: CallbackVerifier
    seal: Callable[[bytes], tuple[str, str]]
    body: str
    """An envelope, with `%s` for the sealed text."""
    xml: tuple[str, ...] = ()
    json: tuple[Any, ...] = ()

    def query(self, signed: str) -> dict[str, str]:
        """The query of a signed request."""
        return {"msg_signature": signed, "timestamp": str(int(NOW)), "nonce": "n"}

    def read(self, message: bytes) -> Inbound | None:
        """What a sealed message says, or None if it is refused."""
        encrypted, signed = self.seal(message)
        return self.received(self.query(signed), (self.body % encrypted).encode())

    def received(self, query: dict[str, str], body: bytes) -> Inbound | None:
        """What a request says, or None if it is refused."""
        try:
            return self.verifier.read(query, body, NOW)
        except CallbackRefused as error:
            refused = str(error)
        assert WORD not in refused
        return None


def sealing(receiver: str) -> Callable[[bytes], tuple[str, str]]:
    """Seals as WeCom does for a receiver."""
    return lambda message: Envelope(TOKEN, AES_KEY, receiver).seal(message, str(int(NOW)), "n", RANDOM)


def youdu_sealed(message: bytes) -> tuple[str, str]:
    """Seals as a Youdu server does."""
    encrypted = YouduEnvelope(KEY, APP_ID).seal(message, bytes(16))
    return encrypted, signature(TOKEN, str(int(NOW)), "n", encrypted)


IN_XML = "<xml><Encrypt>%s</Encrypt></xml>"
WEBHOOK = [ATTACHMENT, EVENTS["add_to_chat"]]
SITES = {
    "app": Site(
        channel("wecom_app").callback_verifier(an_account(), SECRETS, 300),
        sealing(CORP),
        IN_XML,
        (press(selected=CHOSEN), press(event="enter_agent")),
    ),
    "suite": Site(
        channel("wecom_suite").callback_verifier(a_suite("https://vendor"), SECRETS, 300),
        sealing("wwsuite"),
        IN_XML,
        tuple(f"<xml>{SUITE.format(kind)}<{name}>c1</{name}></xml>" for kind, name in GRANTS.items()),
    ),
    "webhook": Site(
        channel("wecom_webhook").callback_verifier(ROBOT, SECRETS, 300),
        sealing(""),
        '{"encrypt": "%s"}',
        tuple(xml.replace("group", "single") for xml, _ in WEBHOOK),
        tuple(json.loads(text.replace("group", "single")) for _, text in WEBHOOK),
    ),
    "youdu": Site(
        channel("youdu").callback_verifier(OA, {"token": TOKEN, "aes_key": KEY}, 300),
        youdu_sealed,
        f'{{"toBuin": {BUIN}, "toApp": "{APP_ID}", "encrypt": "%s"}}',
        json=(SAID,),
    ),
}
FOR_EACH = pytest.mark.parametrize("site", SITES.values(), ids=SITES)

TEXTS = ("", "0", "-1", "9" * 13, WORD * 200, " 1 ", "\u0661")


def xml_altered(text: str) -> Iterator[bytes]:
    """The message with each element changed in turn: emptied, filled, doubled, nested, left out."""
    for number in range(sum(1 for _ in fromstring(text).iter())):
        for change in range(len(TEXTS) + 4):
            root = fromstring(text)
            element = list(root.iter())[number]
            _change(element, change)
            yield tostring(root)


def _change(element: Element, change: int) -> None:
    """One of the changes, by its number."""
    inner = list(element)
    match change - len(TEXTS):
        case 0:
            element.extend(copy.deepcopy(inner))
        case 1:
            element.append(copy.deepcopy(element))
        case 2:
            element.tag = "Another"
        case 3:
            for _ in range(20):
                element = SubElement(element, element.tag)
        case _:
            element[:], element.text = [], TEXTS[change]


def nested(depth: int) -> list[Any]:
    """A list and an object of this many levels."""
    as_list, as_object = [], {}
    for _ in range(depth):
        as_list, as_object = [as_list], {"a": as_object}
    return [as_list, as_object]


def all_storable(site: Site, messages: Iterable[bytes]) -> int:
    """How many of the messages were read. A database takes all of each."""
    found = [inbound for message in messages if (inbound := site.read(message)) is not None]
    for inbound in found:
        card, chat = inbound.card, inbound.chat
        texts = [inbound.event, *(() if card is None else astuple(card)), *(() if chat is None else astuple(chat))]
        text = json.dumps([to_json(inbound.payload).decode(), *texts], ensure_ascii=False)
        assert text.encode()
        assert "\\u0000" not in text
        ids = [inbound.person, card.task_id if card else "", chat.chat_id if chat else ""]
        assert max(map(len, ids)) <= MAX_ID_LENGTH
        assert abs(inbound.happened_at) < 10**12
    return len(found)


@FOR_EACH
def test_a_message_with_one_odd_thing_is_read_or_refused(site: Site) -> None:
    """Elements or values missing, repeated, nested, too long."""
    in_xml = [message for sample in site.xml for message in xml_altered(sample)]
    in_json = [json.dumps(message).encode() for sample in site.json for message in altered(sample)]

    assert 0 < all_storable(site, [*in_xml, *in_json]) < len(in_xml) + len(in_json)


@FOR_EACH
def test_a_message_in_odd_bytes_is_read_or_refused(site: Site) -> None:
    """Cut short, in other encodings, with more levels and digits than a parser takes."""
    whole = site.xml[0] if site.xml else json.dumps(site.json[0])
    text = [whole, *map(json.dumps, site.json[:1])]
    cut = [one[:length].encode() for one in text for length in range(len(one))]
    other = [one.encode(name) for one in text for name in ("utf-16", "utf-32", "utf-8-sig", "gb18030")]
    of_xml = [f'<?xml version="1.0" encoding="{name}"?>{whole}'.encode() for name in ("gbk", "utf-7", "x", "utf-16")]
    levels = [json.dumps({**SAID, "text": one}).encode() for depth in (300, 900) for one in nested(depth)]
    too_much = [b"[" * 100_000, b'{"a":' * 100_000, b'{"CreateTime": ' + b"9" * 5_000 + b"}", b"<a>" * 20_000]

    assert 0 < all_storable(site, cut + other + of_xml)
    assert all_storable(site, levels + too_much) == 0


ODD_CHARACTERS = {
    b"a\x1db": "a\ufffdb",
    b"a\xef\xbf\xbeb": "a\ufffdb",
    b"a\x00b": "a\ufffdb",
    b"a\xe4\xb8": "a\ufffd",
    b"a\xed\xa0\x80b": "a\ufffd\ufffd\ufffdb",
}
"""What a member typed, or a sender cut, and what of it can be stored."""
IN_REFERENCES = {b"a&#x8;b": "a\ufffdb", b"a&#0;b": "a\ufffdb", b"&#xD800;": "\ufffd", b"a&b &amp; &c;&": "a&b & &c;&"}


@pytest.mark.parametrize(("typed", "stored"), ODD_CHARACTERS.items())
@pytest.mark.parametrize("site", [SITES["app"], SITES["webhook"]])
def test_a_character_that_xml_does_not_have_loses_no_message(site: Site, typed: bytes, stored: str) -> None:
    """The signature shows that it is the vendor's: it is stored, with the character replaced, also beside CDATA."""
    message = site.xml[0].replace("</xml>", "<Content>%s</Content><Other><![CDATA[&#x8;&]]></Other></xml>")

    for around in (b"%b", b"<![CDATA[%b]]>"):
        inbound = site.read(message.encode().replace(b"%s", around % typed))

        assert inbound is not None
        assert (stored, "&#x8;&") == (inbound.payload["Content"], inbound.payload["Other"])


@pytest.mark.parametrize(("typed", "stored"), IN_REFERENCES.items())
def test_a_reference_to_no_character_loses_no_message(typed: bytes, stored: str) -> None:
    """It is replaced, and an `&` of no reference is itself; a document type is refused all the same."""
    message = SITES["app"].xml[0].encode().replace(b"</xml>", b"<Content>" + typed + b"</Content></xml>")

    inbound = SITES["app"].read(b'<?xml version="1.0" encoding="gbk"?>' + message)

    assert inbound is not None
    assert stored == inbound.payload["Content"]
    assert SITES["app"].read(b"<!DOCTYPE xml>" + message) is None


@pytest.mark.parametrize("typed", [b"a\x1db", b"a\xe4\xb8"])
@pytest.mark.parametrize("site", [SITES["youdu"], SITES["webhook"]])
def test_a_raw_control_character_or_a_cut_one_loses_no_json(site: Site, typed: bytes) -> None:
    """JSON forbids both; the signature shows that they are the vendor's."""
    message = json.dumps({**site.json[0], "extra": "TYPED"}).encode()

    inbound = site.read(message.replace(b"TYPED", typed))

    assert inbound is not None
    assert typed.decode("utf-8", "replace") == inbound.payload["extra"]


@FOR_EACH
def test_behind_the_signature_no_status_says_which_padding_is_right(site: Site) -> None:
    """Who knows the token signs any bytes: each change of the last two blocks has the same answer."""
    raw = base64.b64decode(site.seal(b"hello")[0])
    statuses = set()
    for place in range(1, 33):
        for change in (1, 16, 31, 255):
            changed = bytearray(raw)
            changed[-place] ^= change
            encrypted = base64.b64encode(changed).decode()
            query = site.query(signature(TOKEN, str(int(NOW)), "n", encrypted))
            with pytest.raises(CallbackRefused) as refused:
                site.verifier.read(query, (site.body % encrypted).encode(), NOW)
            statuses.add(refused.value.status)

    assert statuses == {403}


@FOR_EACH
def test_a_request_with_one_odd_value_is_refused(site: Site) -> None:
    """In its query, in its envelope, or with its signature for another."""
    whole = site.xml[0] if site.xml else json.dumps(site.json[0])
    encrypted, signed = site.seal(whole.encode())
    query, body = site.query(signed), (site.body % encrypted).encode()
    assert site.received(query, body)

    odd = ["", "\ud800", "\u0661", "\xe9", "-1", "9" * 5_000, "%s"]
    queries = [{**query, name: value} for name in query for value in odd]
    queries += [{name: value for name, value in query.items() if name != left_out} for left_out in query]
    bodies = [body[:length] for length in range(0, len(body), 7)]
    bodies += [(site.body % value).encode("utf-8", "surrogatepass") for value in odd]
    bodies += [json.dumps(envelope).encode() for envelope in altered({"encrypt": ["A"], "toBuin": 1})]
    found = [site.received(one, body) for one in queries] + [site.received(query, one) for one in bodies]

    assert [None] * len(found) == found
    for one in queries:
        with pytest.raises(CallbackRefused):
            site.verifier.verify(one, NOW)
