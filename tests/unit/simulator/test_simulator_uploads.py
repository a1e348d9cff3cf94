"""Uploads: what is taken, how long it lives, and permanent pictures."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.unit.simulator.samples import message

PNG = b"\x89PNG\r\n\x1a\n"
SHANGHAI = timezone(timedelta(hours=8))
SPEECH_BYTES = {0: 12, 1: 13, 2: 15, 3: 17, 4: 19, 5: 20, 6: 26, 7: 31, 8: 5, 15: 0}
"""Of a frame of AMR, by its mode."""


def test_upload(vendor: Any) -> None:
    """An upload is answered with type, media_id and a created_at string; the log keeps name, size and hash."""
    reply = vendor.upload(b"123456", name="七月报表.pdf")

    assert (reply["errcode"], reply["type"]) == (0, "file")
    assert reply["created_at"].isdecimal()
    body = vendor.calls(path="/cgi-bin/media/upload")[0]["body"]
    assert body["filename"] == "七月报表.pdf"
    assert body["size"] == 6
    assert len(body["sha256"]) == 64


@pytest.mark.parametrize(
    ("kind", "content", "code"),
    [
        ("file", b"12345", 40006),
        ("file", b"x" * 101, 45001),
        ("image", b"x" * 101, 40009),
        ("video", b"x" * 101, 40011),
        ("nothing", b"123456", 40005),
        ("image", b"123456", 40123),
        ("voice", b"123456", 301017),
        ("video", b"12345678", 41090),
    ],
)
def test_upload_refusals(vendor: Any, kind: str, content: bytes, code: int) -> None:
    """Wrong sizes, types and formats are refused."""
    vendor.settings(media={"max_bytes": {"file": 100, "image": 100, "video": 100}})

    assert code == vendor.upload(content, kind)["errcode"]


def test_formats_need_not_be_checked(vendor: Any) -> None:
    """The look into the first bytes can be switched off."""
    vendor.settings(media={"check_format": False})

    assert vendor.upload(b"123456", "image")["errcode"] == 0


@pytest.mark.parametrize(
    ("disposition", "code"),
    [
        ('form-data; name="media"; filename="报表.pdf"; filelength=6', 0),
        ('form-data; name="media"; filename="%E6%8A%A5.pdf"', 0),
        ("form-data; name=media; filename=a.pdf", 0),
        ("form-data; name=\"media\"; filename*=utf-8''%E6%8A%A5.pdf", 44001),
        ('form-data; name="media"', 44001),
        ('form-data; name="other"; filename="a.pdf"', 44001),
    ],
)
def test_multipart_forms(vendor: Any, disposition: str, code: int) -> None:
    """The part is named media and has a plain filename; RFC 5987 names are empty media to the vendor."""
    part = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + b"a\r\n--x" + b"\r\n--b--\r\n"

    assert code == post_multipart(vendor, part, "multipart/form-data; boundary=b")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "text/plain", "multipart/form-data; boundary=other"])
def test_bodies_that_are_no_multipart(vendor: Any, content_type: str) -> None:
    """Without a readable part the media is empty."""
    assert post_multipart(vendor, b"--b\r\nnothing", content_type) == 44001


def post_multipart(vendor: Any, body: bytes, content_type: str) -> int:
    """The code of an upload with this body."""
    url = f"{vendor.url}/cgi-bin/media/upload?access_token={vendor.token()}&type=file"
    return vendor.session.post(url, data=body, headers={"Content-Type": content_type}, timeout=60).json()["errcode"]


def voice(seconds: float, mode: int = 7) -> bytes:
    """AMR of so many seconds, in frames of 20 ms."""
    frame = bytes([mode << 3]) + bytes(SPEECH_BYTES[mode])
    return b"#!AMR\n" + frame * round(seconds * 50)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (voice(60), 0),
        (voice(60.02), 45007),
        (voice(59) + b"\x48" + voice(60), 0),
        (b"#!AMR-WB\n" + bytes(18) * 3000, 0),
        (b"#!AMR-WB\n" + bytes(18) * 3001, 45007),
        (b"#!AMR_MC1.0\n" + bytes(70_000), 0),
    ],
)
def test_voices_last_a_minute(vendor: Any, content: bytes, code: int) -> None:
    """A voice is measured by its frames, up to the first that is none; AMR of several channels is not measured."""
    assert code == vendor.upload(content, "voice")["errcode"]
    vendor.settings(media={"voice_seconds": 0})
    assert vendor.upload(content, "voice")["errcode"] == 0


@pytest.mark.parametrize("code", [40007, 40145])
def test_media_expire(vendor: Any, code: int) -> None:
    """After three days by the clock, or at once by control, one or all; the code is a setting."""
    vendor.settings(media={"expired_code": code}, token={"lifetime_s": 1e9})
    ids = [vendor.upload(b"123456")["media_id"] for _ in range(3)]

    def codes() -> list[int]:
        return [vendor.send(message("file", {"media_id": one}))["errcode"] for one in ids]

    assert vendor.control("POST", "expire", {"media_id": ids[0]}) == {"media_ids": 1, "response_codes": 0, "msgids": 0}
    assert [code, 0, 0] == codes()
    vendor.control("POST", "expire", {"media_id": "all"})
    assert [code] * 3 == codes()
    ids = [vendor.upload(b"123456")["media_id"]]
    vendor.advance(3 * 86400 + 1)
    assert [code] == codes()


def test_known_media(vendor: Any) -> None:
    """Ids that settings name exist without an upload, in every corp, as what they are."""
    vendor.settings(media={"known": {"file": ["f-.*"]}})
    body = message("file", {"media_id": "f-1"}, safe=1)

    assert [vendor.send(body)["errcode"], vendor.send(body, token=vendor.token("ww2", "s"))["errcode"]] == [0, 0]
    assert vendor.send(message("image", {"media_id": "f-1"}))["errcode"] == 40007
    assert vendor.send(message("file", {"media_id": "xf-1"}))["errcode"] == 40007


@pytest.mark.parametrize("mode", SPEECH_BYTES)
def test_every_mode_of_speech(vendor: Any, mode: int) -> None:
    """Frames of each mode are as long as they are."""
    assert [vendor.upload(voice(length, mode), "voice")["errcode"] for length in (60, 60.02)] == [0, 45007]


def picture(vendor: Any, content: bytes = PNG, field: str = "fieldNameHere") -> dict[str, Any]:
    """The reply of media/uploadimg."""
    url = f"{vendor.url}/cgi-bin/media/uploadimg?access_token={vendor.token()}"
    return dict(vendor.session.post(url, files={field: ("a.png", content, "image/png")}, timeout=60).json())


def test_permanent_pictures(vendor: Any) -> None:
    """A picture has an address of its own, whatever the field is called, and no media_id."""
    replies = [picture(vendor), picture(vendor, field="media")]

    assert [(reply["errcode"], reply["errmsg"]) for reply in replies] == [(0, ""), (0, "")]
    urls = {reply["url"] for reply in replies}
    assert len(urls) == 2
    assert all(url.startswith("http://p.qpic.cn/") for url in urls)
    assert set(replies[0]) == {"errcode", "errmsg", "url"}
    assert [
        (call["body"]["filename"], call["body"]["size"]) for call in vendor.calls(path="/cgi-bin/media/uploadimg")
    ] == [("a.png", 8)] * 2


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xff\xd8\xff1", 40006),
        (b"\xff\xd8\xff12", 0),
        (b"GIF89a", 40123),
        (PNG + bytes(2 * 1024 * 1024 - 8), 0),
        (PNG + bytes(2 * 1024 * 1024 - 7), 40009),
    ],
)
def test_pictures_that_are_not_taken(vendor: Any, content: bytes, code: int) -> None:
    """At most 2 MB of JPG or PNG."""
    assert code == picture(vendor, content)["errcode"]


def test_pictures_need_a_part(vendor: Any) -> None:
    """A body without a file is empty."""
    url = f"{vendor.url}/cgi-bin/media/uploadimg?access_token={vendor.token()}"

    assert vendor.session.post(url, data=b"x", timeout=60).json()["errcode"] == 44001


def test_pictures_of_a_day(vendor: Any) -> None:
    """So many a day in a corp, by the calendar of Shanghai; a picture that is refused takes nothing."""
    vendor.settings(limits={"pictures_per_day": 2}, token={"lifetime_s": 1e9})
    evening = datetime(2026, 7, 1, 23, 59, tzinfo=SHANGHAI).timestamp()
    vendor.control("POST", "clock", {"set": evening, "frozen": True})

    codes = [picture(vendor, content)["errcode"] for content in (b"GIF89a", PNG, PNG, PNG)]
    vendor.advance(61)

    assert codes == [40123, 0, 0, 45009]
    assert picture(vendor)["errcode"] == 0


@pytest.mark.parametrize(
    ("enforce", "next_month", "later"), [("sliding", 45009, 45009), ("aligned", 0, 45009), ("none", 0, 0)]
)
def test_pictures_of_a_month(vendor: Any, enforce: str, next_month: int, later: int) -> None:
    """Of any 30 days or of a calendar month, by setting; the penalty is 30 days from the call that met it."""
    vendor.settings(limits={"pictures_per_month": 1, "enforce": enforce}, token={"lifetime_s": 1e9})
    june = datetime(2026, 6, 15, tzinfo=SHANGHAI).timestamp()
    vendor.control("POST", "clock", {"set": june, "frozen": True})

    codes = [picture(vendor)["errcode"]]
    for days in (29, 2):
        vendor.advance(days * 86400)
        codes.append(picture(vendor)["errcode"])

    assert [0, next_month, later] == codes


def test_a_sliding_month_has_thirty_days(vendor: Any) -> None:
    """The picture of 30 days ago no longer counts."""
    vendor.settings(limits={"pictures_per_month": 1, "penalty": False}, token={"lifetime_s": 1e9})
    codes = []
    for days in (0, 29.9, 0.2):
        vendor.advance(days * 86400)
        codes.append(picture(vendor)["errcode"])

    assert codes == [0, 45009, 0]


def test_the_zone_of_days_is_a_setting(vendor: Any) -> None:
    """Where days begin elsewhere, the midnight of Shanghai is none."""
    vendor.settings(limits={"pictures_per_day": 1, "day_zone_h": 0, "penalty": False}, token={"lifetime_s": 1e9})
    evening = datetime(2026, 7, 1, 23, 59, tzinfo=SHANGHAI).timestamp()
    vendor.control("POST", "clock", {"set": evening, "frozen": True})

    codes = []
    for seconds in (0, 61, 8 * 3600):
        vendor.advance(seconds)
        codes.append(picture(vendor)["errcode"])

    assert codes == [0, 45009, 0]
