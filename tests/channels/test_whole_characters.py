"""Text is only ever cut between characters as people see them: Unicode's grapheme clusters (UAX 29)."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
from wecom_app_samples import CHANNEL, account

from worker.channels.checking.row import Prose
from worker.channels.checking.truncate import ELLIPSIS, pieces, truncated
from worker.channels.wecom_app import Text

CASES = (Path(__file__).parent / "unicode" / "GraphemeBreakTest-18.0.0.txt").read_text(encoding="utf-8").splitlines()


def characters(case: str) -> list[str]:
    """The characters of a line such as `÷ 0061 × 0308 ÷ 0062 ÷`."""
    codes = [one.split(" × ") for one in case.removeprefix("÷ ").removesuffix(" ÷").split(" ÷ ")]
    return ["".join(chr(int(code, 16)) for code in one) for one in codes]


@pytest.mark.parametrize("before", ["", "\n"])
def test_unicodes_own_cases(before: str) -> None:
    """Whatever the limit is, what is kept ends where one of Unicode's characters ends, and is the longest that fits."""
    for case in (characters(line) for line in CASES if not line.startswith("#")):
        text = before + "".join(case)
        ends = [end + len(before) for end in accumulate(map(len, case))]
        for room in range(len(before), len(text)):
            end = max([len(before), *(end for end in ends if end <= room)])

            kept = truncated(text, room + len(ELLIPSIS), len, Prose.PLAIN)

            assert (text[:end] + ELLIPSIS if end else None) == kept, f"{case} in {room} of {len(text)}"


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\u0e25\u0e31", id="Thai"),
        pytest.param("\u0e97\u0ec8", id="Lao"),
        pytest.param("\u0915\u094d\u0937\u093f", id="Devanagari"),
        pytest.param("\u0b95\u0bca", id="Tamil"),
        pytest.param("\u1000\u103c\u1031", id="Burmese"),
        pytest.param("\u0f40\u0f71\u0f72", id="Tibetan"),
        pytest.param("\u05e9\u05c1\u05b8", id="Hebrew"),
        pytest.param("\u0644\u064e\u0651", id="Arabic"),
        pytest.param("\u1112\u1161\u11ab", id="Hangul"),
        pytest.param("\u304b\u3099", id="Japanese"),
        pytest.param("e\u0301\u0323\u0308", id="Latin"),
        pytest.param("1\ufe0f\u20e3", id="keycap"),
        pytest.param("\u845b\U000e0100", id="ideograph"),
        pytest.param("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", id="flag of England"),
        pytest.param("\U0001f469\U0001f3fd\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f469\U0001f3fb", id="kiss"),
    ],
)
@pytest.mark.parametrize("before", ["", "https://example.com/", "$userName=a$", '<a href="https://a.b">l</a>'])
def test_a_character_with_all_that_belongs_to_it(character: str, before: str) -> None:
    """It stays whole in every script, behind a link and behind a pattern, when a text is split or truncated."""
    message = Text(content=before + character * 1000)

    document, _ = CHANNEL.fit("send", message.document(), account(), "split")
    shorter, _ = CHANNEL.fit("send", message.document(), account(), "truncate")

    assert before + character * 1000 == "".join(document["pieces"])
    assert not [piece for piece in document["pieces"] if piece.removeprefix(before).replace(character, "")]
    assert shorter["body"]["text"]["content"].removesuffix(ELLIPSIS).removeprefix(before).replace(character, "") == ""


@pytest.mark.parametrize("whole", ["https://example.com/e", "$userName=a$", "`code`", "**bold**", "[l](https://a.b)"])
def test_a_mark_stays_on_what_cannot_be_cut(whole: str) -> None:
    """An accent behind a link or a piece of code goes with it, and what stands before a link, too."""
    for text in (f"{whole}\u0301", f"\u0600{whole}"):
        for shift in range(len(text) + 1):
            found = pieces("x" * (40 - shift) + text + "字" * 40, 40, len, Prose.MARKDOWN)

            assert found is not None
            assert any(text in piece for piece in found)


def test_an_element_with_a_mark_behind_its_tag_is_still_closed() -> None:
    """The mark belongs to the tag's last character for Unicode; the element is open all the same."""
    assert truncated("<div>\u0301grey and long</div>", 17, len, Prose.LINKS) == "<div>\u0301grey…</div>"
