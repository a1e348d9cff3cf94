"""URLs taken apart: what can be fetched, what stands in a request, what a redirect makes of it; nothing shows."""

from __future__ import annotations

import pytest

from worker import File
from worker.domain.content.web import UnusableAddress, web_address


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "header"),
    [
        ("http://Files.Example.com", "files.example.com", 80, "/", "files.example.com"),
        (
            "https://files.example.com/a/b.pdf?x=1&y=2#page",
            "files.example.com",
            443,
            "/a/b.pdf?x=1&y=2",
            "files.example.com",
        ),
        ("https://files.example.com:8443/a%20b", "files.example.com", 8443, "/a%20b", "files.example.com:8443"),
        (
            "https://files.example.com./七月.pdf",
            "files.example.com",
            443,
            "/%E4%B8%83%E6%9C%88.pdf",
            "files.example.com",
        ),
        ("http://例子.cn/", "xn--fsqu00a.cn", 80, "/", "xn--fsqu00a.cn"),
        ("http://[2606:2800::1]:81/", "2606:2800::1", 81, "/", "[2606:2800::1]:81"),
        ("HTTP://files.example.com/?q", "files.example.com", 80, "/?q", "files.example.com"),
    ],
)
def test_it_is_taken_apart(url: str, host: str, port: int, target: str, header: str) -> None:
    """As a browser would; what was encoded stays encoded."""
    to = web_address(url)

    assert (host, port, target, header) == (to.host, to.port, to.target, to.host_header)


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        7,
        "files.example.com/a",
        "ftp://files.example.com/a",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "javascript:alert(1)",
        "http://",
        "http:///a",
        "http://:80/",
        "http://files.example.com:0/",
        "http://files.example.com:70000/",
        "http://files.example.com:x/",
        "http://[::1/",
        "http://files.example.com/a b",
        "http://files.example.com/a\r\nHost: other",
        "http://files.example.com/\x00",
        "http://\ud800/",
        "http://" + "例" * 80 + "/",
        "http://files.example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_address_of_a_file_is_said_without_it(url: object) -> None:
    """With what to write instead."""
    with pytest.raises(UnusableAddress, match=r"; (write|percent-encode|shorten) ") as caught:
        web_address(url)

    assert not isinstance(url, str) or len(url) < 3 or url not in str(caught.value)


def test_only_a_worker_has_the_content_behind_a_url() -> None:
    """Whoever else asks for it hears so."""
    with pytest.raises(ValueError, match="is fetched by a worker"):
        File.from_url("https://files.example.com/a").measure()


def test_nothing_shows() -> None:
    """Neither address nor file; a URL may hold credentials in each of its parts."""
    url = "https://canary-user:canary-password@files.example.com/canary-path/a.pdf?token=canary-token"
    file = File.from_url(url)

    shown = f"{web_address(url)!r} {file!r} {file.source!r}"

    assert "canary" not in shown
    assert file.name == "a.pdf"


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("https://h.example.com/a/%E4%B8%83%E6%9C%88.pdf?x=y.txt", None, "七月.pdf"),
        ("https://h.example.com/a/b.pdf", "报表.pdf", "报表.pdf"),
        ("https://h.example.com/a/", None, ""),
    ],
)
def test_the_name_people_see(url: str, name: str | None, shown: str) -> None:
    """The last part of the path, or the one that is given; an empty one is refused at enqueue."""
    assert shown == File.from_url(url, name).name
