"""Fetching: every refusal and every trouble, redirects judged anew, size and time bounded; without a network."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.runtime import Ticks
from tests.support.scripted_web import PUBLIC, Fault, Page, ScriptedWeb, Told, moved
from worker.delivery.resolver.download import PIECE, Downloads, Fetched, NotFetched, Stopped, TryLater
from worker.domain.content.address import Allowed

URL = "https://files.example.com/a.png"
MOST = 1_000


def fetching(
    web: ScriptedWeb, *, allow: tuple[str, ...] = (), stopping: Callable[[], bool] = lambda: False
) -> Downloads:
    return Downloads(web, Allowed(allow), deadline_s=60, stopping=stopping)


def said(told: Told | list[Told], url: str = URL) -> str:
    """Why it was refused, for good."""
    found = fetching(ScriptedWeb({url: told})).fetch(url, MOST)
    assert isinstance(found, NotFetched), found
    return found.reason


def test_a_file_is_fetched_whole() -> None:
    """Its bytes, size and hash; asked once, at the address its name resolved to, within the whole time."""
    body = bytes(range(250)) * 4
    web = ScriptedWeb({URL: Page(body, headers={"content-length": "1000"})})

    found = fetching(web).fetch(URL, MOST)

    assert isinstance(found, Fetched)
    assert (1_000, hashlib.sha256(body).hexdigest()) == (found.size, found.sha256)
    assert (body, body) == (b"".join(found.chunks()), b"".join(found.chunks())), "it can be read again"
    [asked] = web.asked
    assert asked.url == URL
    assert asked.address == PUBLIC
    assert asked.authorization is None
    assert web.deadlines == [60]
    found.close()


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (Page(status=404), "cannot be fetched: the server answered 404"),
        (Page(status=403), "cannot be fetched: the server answered 403"),
        (Page(status=410), "cannot be fetched: the server answered 410"),
        (Page(status=204), "cannot be fetched: the server answered 204"),
        (Page(status=206), "cannot be fetched: the server answered 206"),
        (Page(status=304), "cannot be fetched: the server answered 304"),
        (Page(status=302), "cannot be fetched: the server answered 302"),
        (Page(b"x" * 1_001), "is too large: the vendor accepts at most 1000 bytes"),
        (Page(b"", headers={"content-length": "1001"}), "is too large: the vendor accepts at most 1000 bytes"),
        (Page(b"", headers={"content-length": "9" * 5_000}), "is too large: the vendor accepts at most 1000 bytes"),
        (Page(b"x", headers={"content-encoding": "gzip"}), "cannot be read: the server sent it compressed"),
    ],
)
def test_what_another_time_will_not_change_is_refused(page: Page, reason: str) -> None:
    """With the reason, and without the URL."""
    assert said(page).startswith(reason)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429])
def test_what_may_be_answered_otherwise_another_time_is_asked_again(status: int) -> None:
    """The server's own trouble."""
    assert TryLater(f"answered {status}") == fetching(ScriptedWeb({URL: Page(status=status)})).fetch(URL, MOST)


@pytest.mark.parametrize("fault", ["dns", "refused", "connect_timeout", "tls", "cut", "garbled", "deadline"])
def test_trouble_on_the_way_is_tried_again(fault: str) -> None:
    """Nothing is known of the file."""
    assert TryLater(fault) == fetching(ScriptedWeb({URL: Fault(fault)})).fetch(URL, MOST)
    assert TryLater("dns") == fetching(ScriptedWeb({}, {"files.example.com": [[]]})).fetch(URL, MOST)


def test_a_temporary_folder_without_space_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error of the program's own, and says what to free."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    found = fetching(ScriptedWeb({URL: Page(b"x" * 100)})).fetch(URL, MOST)

    assert TryLater("the temporary folder (TMPDIR) cannot be written; free space there") == found


def test_a_body_that_breaks_off_is_no_file() -> None:
    """Half of it is not kept."""
    web = ScriptedWeb({URL: Page(b"x" * 100, breaks=True)})

    assert TryLater("cut") == fetching(web).fetch(URL, MOST)


def test_no_more_is_read_than_may_be_kept() -> None:
    """A server that sends without an end is left within a piece of what may be kept."""
    web = ScriptedWeb({URL: Page(b"x" * 100, endless=True)})

    found = fetching(web).fetch(URL, MOST)

    assert found == NotFetched("is too large: the vendor accepts at most 1000 bytes")
    assert web.given <= MOST + 2 * PIECE


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "fd00::1", "224.0.0.1"])
def test_an_address_that_is_not_public_is_never_asked(address: str) -> None:
    """Judged after the name was resolved, also where the URL names the address itself."""
    web = ScriptedWeb({URL: Page(b"secret")}, {"files.example.com": [[address]]})

    found = fetching(web).fetch(URL, MOST)

    assert NotFetched("is not fetched: its address is not public; add the host to delivery.fetch_allow") == found
    assert web.asked == []


def test_a_name_that_resolves_anew_changes_nothing() -> None:
    """The name is looked up once, and the connection goes to the very address that was judged."""
    web = ScriptedWeb({URL: Page(b"content")}, {"files.example.com": [[PUBLIC], ["127.0.0.1"]]})

    found = fetching(web).fetch(URL, MOST)

    assert isinstance(found, Fetched)
    assert web.resolved == ["files.example.com"]
    assert [asked.address for asked in web.asked] == [PUBLIC]
    found.close()


def test_of_several_addresses_only_public_ones_are_tried() -> None:
    """A local one among them is left out."""
    web = ScriptedWeb({URL: Page(b"content")}, {"files.example.com": [["127.0.0.1", "8.8.8.8", "10.0.0.1", "9.9.9.9"]]})

    found = fetching(web).fetch(URL, MOST)

    assert isinstance(found, Fetched)
    assert [asked.address for asked in web.asked] == ["8.8.8.8"]
    found.close()


@pytest.mark.parametrize("allow", ["files.example.com", "10.0.0.0/8"])
def test_what_the_settings_name_is_asked(allow: str) -> None:
    """A host, or the network it is in."""
    web = ScriptedWeb({URL: Page(b"content")}, {"files.example.com": [["10.0.0.5"]]})

    found = fetching(web, allow=(allow,)).fetch(URL, MOST)

    assert isinstance(found, Fetched)
    found.close()


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status: int) -> None:
    """To another host, too; what is left of the time is what it has."""
    there = "http://cdn.example.com/b"
    web = ScriptedWeb({URL: moved(there, status), there: Page(b"content")})

    found = fetching(web).fetch(URL, MOST)

    assert isinstance(found, Fetched)
    assert [URL, there] == [asked.url for asked in web.asked]
    found.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1"])
def test_every_redirect_is_judged_anew(address: str) -> None:
    """A public page that leads inside: nobody inside is asked."""
    inside = "http://inside.example.com/latest/meta-data"
    web = ScriptedWeb({URL: moved(inside), inside: Page(b"secret")}, {"inside.example.com": [[address]]})

    found = fetching(web).fetch(URL, MOST)

    assert isinstance(found, NotFetched)
    assert "not public" in found.reason
    assert [asked.url for asked in web.asked] == [URL]


def test_a_redirect_within_a_host_resolves_its_name_again() -> None:
    """Another request, another judgement: a name that has turned inside by then is not followed."""
    web = ScriptedWeb(
        {URL: moved("/b"), "https://files.example.com/b": Page(b"secret")},
        {"files.example.com": [[PUBLIC], ["127.0.0.1"]]},
    )

    assert isinstance(fetching(web).fetch(URL, MOST), NotFetched)
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://files.example.com/b"),
        ("b?x=1", "https://files.example.com/a/b?x=1"),
        ("//cdn.example.com/b", "https://cdn.example.com/b"),
        ("HTTP://CDN.example.com:81/b#end", "http://cdn.example.com:81/b"),
        ("http://cdn.example.com/a b", "http://cdn.example.com/a%20b"),
    ],
)
def test_where_a_redirect_leads(location: str, url: str) -> None:
    """Relative to where it came from; a space in it is encoded."""
    start = "https://files.example.com/a/x"
    web = ScriptedWeb({start: moved(location), url: Page(b"content")})

    found = fetching(web).fetch(start, MOST)

    assert isinstance(found, Fetched), found
    assert [asked.url for asked in web.asked] == [start, url]
    found.close()


@pytest.mark.parametrize(
    "location",
    [
        "ftp://files.example.com/a",
        "file:///etc/passwd",
        "gopher://h/",
        "javascript:1",
        "http://[::1",
        "mailto:a@b.c",
        "\xe9",
    ],
)
def test_a_redirect_to_something_else_than_http_is_refused(location: str) -> None:
    """There is no file on the web."""
    assert said(moved(location)) == "cannot be reached: a redirect leads to no http or https address"


@pytest.mark.parametrize(("redirects", "fetched"), [(5, True), (6, False)])
def test_five_redirects_are_followed_and_no_more(redirects: int, fetched: bool) -> None:
    """A chain of pages, each leading to the next."""
    urls = [f"https://files.example.com/{n}" for n in range(redirects + 1)]
    pages: dict[str, Told | list[Told]] = {url: moved(to) for url, to in pairwise(urls)}
    web = ScriptedWeb({**pages, urls[-1]: Page(b"content")})

    found = fetching(web).fetch(urls[0], MOST)

    assert fetched is isinstance(found, Fetched)
    assert len(web.asked) == 6
    if isinstance(found, Fetched):
        found.close()
    else:
        assert NotFetched("cannot be reached: more than 5 redirects") == found


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("/b", True),
        ("https://files.example.com:443/b", True),
        ("http://files.example.com/b", False),
        ("https://files.example.com:8443/b", False),
        ("https://cdn.example.com/b", False),
    ],
)
def test_a_login_stays_with_its_origin(location: str, kept: bool) -> None:
    """Another host, port or scheme never sees it."""
    start = "https://ann:s%40crt@files.example.com/a"
    web = ScriptedWeb({start: moved(location), urljoin(URL, location).replace(":443", ""): Page(b"content")})

    found = fetching(web).fetch(start, MOST)

    assert isinstance(found, Fetched), found
    login = "Basic YW5uOnNAY3J0"
    assert [asked.authorization for asked in web.asked] == [login, login if kept else None]
    found.close()


def test_a_login_may_be_in_any_script() -> None:
    """It is sent as UTF-8."""
    web = ScriptedWeb({"https://安:密@files.example.com/a": Page(b"content")})

    found = fetching(web).fetch("https://安:密@files.example.com/a", MOST)

    assert isinstance(found, Fetched), found
    assert [asked.authorization for asked in web.asked] == ["Basic 5a6JOuWvhg=="]
    found.close()


# -- time and ends ----------------------------------------------------------------------------------------------------


def test_redirects_share_one_deadline() -> None:
    """When nothing is left of it, nobody is asked."""
    ticks = Ticks()

    def slow() -> Page:
        ticks.advance(40)
        return moved("/b")

    web = ScriptedWeb({URL: slow, "https://files.example.com/b": slow}, monotonic=ticks)

    found = Downloads(web, Allowed(), deadline_s=60).fetch(URL, MOST)

    assert found == TryLater("deadline")
    assert len(web.asked) == 2


def test_a_process_that_is_ending_stops_at_once() -> None:
    """Nothing can be said of the file: no refusal, no trouble."""
    web = ScriptedWeb({URL: Page(b"x" * 100, endless=True)})

    assert fetching(web, stopping=lambda: web.given > 0).fetch(URL, 1_000_000) == Stopped()
    assert web.given <= 2 * PIECE
    assert fetching(ScriptedWeb({URL: Fault("cut")}), stopping=lambda: True).fetch(URL, MOST) == Stopped()


def test_what_is_no_url_is_refused_without_quoting_it() -> None:
    """It passed enqueue in another release, say."""
    found = fetching(ScriptedWeb()).fetch("ftp://canary.example.com/a", MOST)

    assert isinstance(found, NotFetched)
    assert found.reason.startswith("cannot be fetched: its address is not an http or https address")
    assert "canary" not in found.reason
