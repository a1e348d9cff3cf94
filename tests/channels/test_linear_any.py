"""Whatever reads bytes or text of others takes time in proportion to them: with repeats, missing ends and nesting.

A test measures the processor's time of this thread alone, and compares an input with a quarter of it: four times as
long is in proportion, sixteen times is the square. What looks so is measured anew, larger and more often: memory that
the allocator asks of the system makes one size a jump, and the square stays the square.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import pytest
from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.requests import Request
from test_callbacks_any import SITES, Site
from test_replies_any import CASES, Case, of_credentials
from urllib3.connection import HTTPConnection

from worker.channels.checking import truncate
from worker.channels.wecom.markdown import MARKDOWN, MARKDOWN_V2
from worker.config.logging import mask
from worker.console import visit
from worker.domain.call import Reply
from worker.domain.content import erasure
from worker.domain.content.web import web_address
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import persons, tag_fields
from worker.domain.times import read_time
from worker.domain.trace import bounded_state
from worker.drawing import MessageView, draw, links, markdown
from worker.language import translate
from worker.reporting import job_list
from worker.service.web import metrics
from worker.transport.connection import PooledConnection, SocketAdapter
from worker.transport.egress import proxy
from worker.transport.framing import AnswerEnd
from worker.transport.http import _read_whole
from worker.transport.session import Web
from worker.transport.token_provider import read_reply

ENOUGH_S = 0.004
"""Seconds after which a larger input says nothing new."""
HELD_S = 0.05
"""Seconds for which the interpreter may be held."""
PROPORTION, QUARTER = 7.0, 4
"""How many times as long an input of four times the length may take."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Reader:
    """Something that reads what others write."""

    read: Callable[[str], object]
    words: list[str]
    """What its grammar is made of."""
    most: int = 64 * 1024
    """Characters of an input, at most: more is refused, or never comes."""
    before: str = ""
    """The beginning of every input."""
    worst: tuple[str, ...] = ()
    """The repeats, one after the other, that once took the square of their number."""


def _words(text: str) -> list[str]:
    return [*filter(None, text.split(" ")), " "]


# -- HTTP --------------------------------------------------------------------------------------------------------------


class Played:
    """A socket whose peer has sent an answer and closed."""

    def __init__(self, answer: bytes) -> None:
        self._rest = memoryview(answer)

    def recv_into(self, buffer: memoryview) -> int:
        """Never waits."""
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def setblocking(self, flag: bool) -> None:
        """Does nothing."""

    def send(self, data: bytes) -> int:
        """Takes all."""
        return len(data)

    def close(self) -> None:
        """Does nothing."""


def _adapter(text: str) -> SocketAdapter:
    adapter = SocketAdapter(cast(Any, Played(text.encode())), lambda: 0.0)
    adapter.begin(1.0, None)
    return adapter


def _arriving(text: str) -> None:
    answer, end = bytearray(), AnswerEnd()
    for start in range(0, len(text), 64):
        answer += text[start : start + 64].encode()
        if end.is_complete(answer):
            return


def _answer(text: str) -> None:
    connection = PooledConnection(HTTPConnection("h", 80), cast(Any, Played(text.encode())), lambda: 0.0)
    connection.adapter.begin(1.0, None)
    connection.write("GET", "/", b"", {})
    _read_whole(connection.read_head())


def _session(text: str, before: str = "") -> None:
    web = Web(
        monotonic=lambda: 0.0,
        dial=lambda *_: cast(Any, Played(f"{before}{text}".encode())),
        resolve=lambda host, port: [(0, (host, port))],
    )
    with web.session(1.0) as session:
        for _ in session.get("http://a/b", stream=True).iter_content(65_536):
            pass


def _tunnel(text: str) -> None:
    proxy._connect(_adapter(text), proxy.Proxy("http", "h", 1, None, ""), "h", 443)


OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = f"{OK}transfer-encoding: chunked\r\n\r\n"
MULTIPART = f'{OK}content-type: multipart/x; "'
HTTP = ["HTTP/1.1 ", "100", "\r\n", "\n", "\r", ":", " ", "0", "a", ";", '"', "a: b\r\n", "1\r\na\r\n", "0\r\n"]

# -- documents ---------------------------------------------------------------------------------------------------------

JSON = _words('[ ] { } "a": "a" , : 1 \\ \\u00e9 null - . e 0 | " {"a": [[ ], {"errcode":0, \ud7ff')
XML = _words('<a> </a> < > & &amp; &#8; " <![CDATA[ ]]> <!-- --> <? <!DOCTYPE <a/> a="1" \x1d 中 { " , <OptionId/> ')
ELEMENTS = ['<div class="gray">', '<font color="info">', "\n"]
TAGS = [*ELEMENTS, *_words('<a href=" </a> <a " \' > < </div> <br <@ <@a> http://a & a </font>')]
MARKS = [
    *TAGS,
    *_words("* ** _ [ ]( ] ( ) ![ ` ``` | > # - 1. \\ [a](b) [a]: ~~~ $a= $ *a"),
    "```\n",
    " ",
    "|-|\n",
    "a|b\n-|-\n",
]
ADDRESS = _words("http:// / a % %41 ? # [ ] @ : .. ../ ; & = + \\ 中 .")
SPACED = [" ", ", ", "; ", ": ", " (", ")", "a", "worker ", " or ", "1 ", "\n", " of ", " is ", '"']


def _outcomes(text: str, cases: list[Case], header: bool = False) -> None:
    for case in cases:
        headers = {"retry-after": text} if header else {}
        reply = Reply(503 if header else 200, headers, text.encode("utf-8", "replace"))
        case.samples.CHANNEL.outcome(case.parts[0], case.samples.account(), reply, case.samples.ACCESS)


def _errmsg(text: str) -> None:
    for case in CASES.values():
        body = b'{"errcode": 200007, "errmsg": "%b"}' % text.encode("utf-8", "replace").replace(b'"', b"'")
        case.samples.CHANNEL.outcome(case.parts[0], case.samples.account(), Reply(200, {}, body), case.samples.ACCESS)


def _credentials(text: str) -> None:
    for read, _ in of_credentials():
        read(Reply(200, {}, text.encode("utf-8", "replace")))


def _signed(site: Site, text: str) -> None:
    site.read(text.encode("utf-8", "replace"))


def _foreign(site: Site, text: str) -> None:
    site.received({**site.query(text), "nonce": text, "timestamp": text}, text.encode("utf-8", "replace"))


def _drawn(channel: Any, msgtype: str, text: str) -> None:
    content = {"content": text, "title": text, "description": text, "url": text, "articles": [{"url": text}]}
    draw(MessageView(channel=channel, msgtype=msgtype, content=content))


def _request(name: str, text: str) -> Request:
    return Request({"type": "http", "headers": [(name.encode(), text.encode("latin-1", "replace"))]})


NOTHING = cast(Any, lambda *_: Markup())
ERASED = erasure.of_person("li.hua", "#erased-1")
TYPED = ("ids", "tag", "errcode", "recipient", "created_from")
READERS = {
    **{
        f"{name} {number}": Reader(read, HTTP, 64 * 1024, before, worst)
        for name, read in {"end": _arriving, "answer": _answer, "session": _session}.items()
        for number, (before, worst) in enumerate({"": (), OK: (), CHUNKED: ("a",), MULTIPART: (";",)}.items())
    },
    "proxy": Reader(_tunnel, HTTP, 16 * 1024, "HTTP/1.1", (" ",)),
    "answers": Reader(partial(_outcomes, cases=list(CASES.values())), JSON, 1024 * 1024),
    "retry-after": Reader(partial(_outcomes, cases=list(CASES.values()), header=True), ["1", " ", "-"], 16 * 1024),
    "errmsg": Reader(
        _errmsg, _words("' ` hint: hint:[ , a A 0 %0 中 “ = - . | *** alice lihua invalid_user : _"), 4096
    ),
    "tokens": Reader(_credentials, JSON, 1024 * 1024),
    "token service": Reader(
        lambda text: read_reply(Reply(200, {}, text.encode("utf-8", "replace"))), JSON, 1024 * 1024
    ),
    **{
        f"callback {name}": Reader(partial(_signed, site), [*XML, *JSON], 40 * 1024, "", ("\x1d",))
        for name, site in SITES.items()
    },
    **{f"envelope {name}": Reader(partial(_foreign, site), [*XML, *JSON]) for name, site in SITES.items()},
    "chat": Reader(lambda text: links.chat_text(text, has_tags=True, mention=Markup), TAGS),
    "textcard": Reader(links.coloured_text, TAGS),
    "article": Reader(links.article_text, TAGS),
    **{
        dialect: Reader(partial(markdown.drawn, dialect=dialect, mentioned=NOTHING, picture=NOTHING), MARKS, 16 * 1024)
        for dialect in ("markdown", "markdown_v2")
    },
    **{
        f"drawn {channel} {msgtype}": Reader(partial(_drawn, channel, msgtype), MARKS, 16 * 1024)
        for channel, msgtype in (("wecom_app", "textcard"), ("wecom_webhook", "news"), ("youdu", "odd"))
    },
    **{
        f"pieces {prose}": Reader(partial(truncate.pieces, most=2000, size=len, prose=prose), MARKS, 32 * 1024)
        for prose in truncate.Prose
    },
    "code": Reader(partial(truncate.CODE.sub, ""), MARKS),
    "marks as typed": Reader(lambda text: [one.pattern.search(text) for one in (*MARKDOWN, *MARKDOWN_V2)], MARKS, 8192),
    "sentences": Reader(lambda text: translate(text, "zh"), SPACED, 64 * 1024, "  refused a", (" ", " (", ", ")),
    "times": Reader(partial(read_time, now=NOW, zone=UTC), _words("1 1h 1. a 分 + in ago 1.0 - : T Z １"), 4096),
    "filter": Reader(
        lambda text: JobFilter.from_texts(dict.fromkeys(TYPED, text), NOW, UTC), ["a", ",", " ", "1", "-", "1h"], 4096
    ),
    "log": Reader(mask, _words("token token= key :// a: @ gettoken: = secret: / a")),
    "erased": Reader(ERASED.document, [*JSON, *TAGS, "li.hua", "<@li.hua>"]),
    "persons": Reader(lambda text: persons(text, text), [*JSON, *TAGS]),
    "tags": Reader(tag_fields, JSON),
    "listed": Reader(lambda text: (job_list._first_of(text), job_list._type_of(text)), JSON, before='{"users": ["'),
    "tracestate": Reader(bounded_state, ["a", ",", "="], 64 * 1024, "", ("a,",)),
    "redirect": Reader(partial(_session, before="HTTP/1.1 302 Found\r\nLocation: "), ADDRESS, 16 * 1024),
    "encoded": Reader(partial(_session, before=f"{OK}Content-Encoding: "), _words("gzip , ; deflate br a")),
    "address": Reader(lambda text: web_address(f"http://a/{text}"), ADDRESS),
    "own path": Reader(lambda text: visit.own_path(f"/{text}"), ADDRESS),
    "form": Reader(lambda text: visit.values_of(QueryParams(text)), ADDRESS),
    "cookies": Reader(
        lambda text: visit.choices(_request("cookie", text)), ["a=", ";", '"', "\\", "\\1"], 64 * 1024, 'a="', ('\\"',)
    ),
    "languages": Reader(lambda text: visit.choices(_request("accept-language", text)), ["zh", ",", ";q=", " "]),
    "formats": Reader(metrics._encoder, ["text/plain", ",", ";", "version=", '"', "application/openmetrics-text"]),
}


def shapes(words: list[str]) -> Iterator[Callable[[int], str]]:
    """Inputs of any length: repeats, pairs, nesting, and a beginning without its end."""
    for one in words:
        yield lambda size, one=one: one * (size // len(one))
        for other in words:
            both = len(one) + len(other)
            yield lambda size, text=one + other: text * (size // len(text))
            yield lambda size, one=one, other=other, both=both: (one * (size // both)) + other * (size // both)
            yield lambda size, one=one, other=other: one + other * (size // len(other))


def seconds(read: Callable[[str], object], text: str, times: int) -> float:
    """The processor's time of one reading, the shortest of some."""
    shortest = 3600.0
    for _ in range(times):
        began = time.thread_time()
        # What is refused has been read.
        with suppress(Exception):
            read(text)
        shortest = min(shortest, time.thread_time() - began)
    return shortest


def is_in_proportion(
    reader: Reader, made: Callable[[int], str], measure: Callable[[Callable[[str], object], str, int], float] = seconds
) -> bool:
    """Whether an input takes about four times as long as a quarter of it."""

    def cost(size: int, times: int) -> float:
        return measure(reader.read, reader.before + made(size), times)

    size = 256
    while size < reader.most and cost(size, 1) < ENOUGH_S:
        size *= 2
    sizes = [size := min(size, reader.most)]
    while size < reader.most:
        sizes.append(size := min(size * 2, reader.most))
    return any(
        cost(size, times) < max(ENOUGH_S, PROPORTION * cost(size // QUARTER, times))
        for times in (1, 3, 9, 27)
        for size in sizes
    )


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (lambda size: size, True),
        (lambda size: size // 4 if size < 2048 else 40 * size, True),
        (lambda size: size * size.bit_length(), True),
        (lambda size: size**2, False),
    ],
    ids=["length", "a jump", "logarithm", "square"],
)
def test_the_square_is_told_from_a_length_with_a_jump(cost: Callable[[int], int], expected: bool) -> None:
    """Memory that one size has to ask of the system is no reason to fail, and nothing hides the square."""
    reader = Reader(len, [])

    assert expected == is_in_proportion(reader, "a".__mul__, lambda read, text, times: cost(len(text)) / 200_000)


@pytest.mark.parametrize("name", READERS)
def test_what_once_took_the_square_and_some_drawn_inputs_take_their_length(name: str) -> None:
    """A few of all shapes."""
    reader = READERS[name]
    worst = [lambda size: "".join(one * (size // len("".join(reader.worst))) for one in reader.worst)]
    drawn = random.Random(name).sample(list(shapes(reader.words)), 3)

    for made in [*(worst if reader.worst else ()), *drawn]:
        assert is_in_proportion(reader, made), made(20)


@pytest.mark.slow("draws twenty inputs for each reader")
@pytest.mark.parametrize("name", READERS)
def test_inputs_of_every_shape_take_their_length(name: str) -> None:
    """Repeats of each word, and of pairs; or the reader takes so few characters that none of them takes long."""
    reader = READERS[name]
    all_shapes = list(shapes(reader.words))

    for made in random.Random(name).sample(all_shapes, min(20, len(all_shapes))):
        longest = max(seconds(reader.read, reader.before + made(size), 3) for size in (reader.most, reader.most // 2))
        assert longest < HELD_S or is_in_proportion(reader, made), made(20)
