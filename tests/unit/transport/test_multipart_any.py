"""Any file under any name goes into one form that says what was meant, and any first bytes are shown or saved."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, strategies as st

from worker.domain.call import FileBody
from worker.drawing.files import kind_of, plain_name
from worker.transport.multipart import multipart

BOUNDARY = "b0undary"
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(content=st.binary(max_size=100), name=NAMES, cuts=st.lists(st.integers(0, 100), max_size=3))
@example(content=b"\r\n--b0undary--\r\n", name='a";\r\nContent-Type: text/html\r\n\r\n<b>\x00', cuts=[3])
def test_any_file_is_one_form_of_the_length_it_says(content: bytes, name: str, cuts: list[int]) -> None:
    """No name ends its line or its quotes, and the bytes are the file's."""
    at = sorted({0, *cuts, len(content)})
    pieces = [content[low:high] for low, high in pairwise(at)]
    length, chunks = multipart(FileBody("media", name, "image/png", len(content), lambda: pieces), BOUNDARY)

    body = b"".join(chunks)
    head, _, rest = body.partition(b"\r\n\r\n")

    assert length == len(body)
    assert head.count(b"\r\n") == 2
    assert head.count(b'"') == 4
    assert rest == content + f"\r\n--{BOUNDARY}--\r\n".encode()


@given(first=st.binary(max_size=20), name=st.text(max_size=30))
def test_any_file_can_be_shown_or_saved(first: bytes, name: str) -> None:
    """A media type that a browser shows, or none; and a name that leads into no other folder."""
    kind, saved = kind_of(first), plain_name(name)

    assert kind is None or kind.partition("/")[0] in ("image", "audio", "video")
    assert saved.isprintable()
    assert saved not in ("", ".", "..")
    assert not set(saved) & {"/", "\\"}
