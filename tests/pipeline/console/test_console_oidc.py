"""Signing in to the console by an OpenID Connect provider, and what a forged answer comes to."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import pytest
from joserfc import jwk

from tests.pipeline.console.console_site import site_of, users
from tests.support.browser import Browser, Shown
from tests.support.issuer import CLIENT, ISSUER, SECRET, FakeIssuer
from worker.config.console import ConsoleSettings, OidcSettings
from worker.console.app import guarded, new_token
from worker.console.sign_in import SignIn
from worker.console.sign_in.provider import CACHE_S, RETRY_S, Provider
from worker.console.sign_in.tries import MAX_PER_ADDRESS
from worker.control.audit import list_audit
from worker.outbox.engine.database import Database
from worker.transport.session import Web

pytestmark = pytest.mark.fewer_databases("what a provider says is judged before any SQL")

OIDC = {"issuer": ISSUER, "client_id": CLIENT, "client_secret": {"env": "CONSOLE_SECRET"}}


class Clock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock: Clock) -> FakeIssuer:
    return FakeIssuer(clock)


@pytest.fixture
def app(database: Database, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A console whose users come from the provider."""
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    return app_of(database, issuer, clock)


def app_of(database: Database, issuer: FakeIssuer, clock: Clock, **settings: Any) -> Any:
    site = site_of(database, **{"users": users(), "oidc": OIDC, **settings})
    assert site.settings.console.oidc is not None
    provider = Provider(site.settings.console.oidc, web=cast(Web, issuer), now=clock)
    return guarded(site, SignIn(site, new_token=new_token, passwords=None, provider=provider))


def enter(app: Any, issuer: FakeIssuer, browser: Browser | None = None) -> Shown:
    """A browser goes to the provider and comes back."""
    browser = browser or Browser(app)
    return browser.get(issuer.sign_in(browser.get("/sign-in/oidc?next=/jobs").location))


def test_a_person_whom_the_provider_names_signs_in(app: Any, issuer: FakeIssuer) -> None:
    """And goes where they wanted to go, with the role of the settings."""
    browser = Browser(app)
    page = browser.get(browser.get("/").location)

    entered = enter(app, issuer, browser)

    assert "/sign-in/oidc?next=%2F" in page.text
    assert (entered.status, entered.location) == (303, "/jobs")
    assert "ada" in browser.get("/").text


@pytest.mark.parametrize(
    "methods", [["client_secret_post"], ["client_secret_post", "client_secret_basic"], ["private_key_jwt"]]
)
def test_a_provider_is_told_the_secret_in_the_way_that_it_takes(
    app: Any, issuer: FakeIssuer, methods: list[str]
) -> None:
    """In the body only where it takes no basic authentication; the fake one takes this unless it says so."""
    issuer.metadata["token_endpoint_auth_methods_supported"] = methods

    assert enter(app, issuer).status == 303


def test_a_wrong_secret_is_said_so_in_the_log(
    database: Database,
    issuer: FakeIssuer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the word of the provider, without its text."""
    monkeypatch.setenv("CONSOLE_SECRET", "an older one")

    assert enter(app_of(database, issuer, clock), issuer).status == 403

    told = "".join(capsys.readouterr())
    assert "invalid_client" in told
    assert "no such secret" not in told


@pytest.mark.parametrize(("query", "told"), [("error=access_denied", "access_denied"), ("error=a+b", "no code")])
def test_a_provider_that_gives_no_code_is_not_asked_for_a_token(
    app: Any, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str], query: str, told: str
) -> None:
    """As of somebody who may not use the console; the log says why, if that is a word of the protocol."""
    browser = Browser(app)
    back = issuer.sign_in(browser.get("/sign-in/oidc").location).replace("code=code0", query)

    assert browser.get(back).status == 403
    assert "/token" not in issuer.asked
    assert told in "".join(capsys.readouterr())


@pytest.mark.parametrize("written", [ISSUER, f"{ISSUER}/"])
@pytest.mark.parametrize("own", [ISSUER, f"{ISSUER}/"])
def test_a_slash_at_the_end_of_an_issuer_makes_no_difference(
    database: Database, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch, written: str, own: str
) -> None:
    """In the settings; what the provider calls itself has to be in its ID tokens to the sign."""
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    app = app_of(database, issuer, clock, oidc={**OIDC, "issuer": written})
    issuer.metadata["issuer"] = own

    entered = []
    for said in (ISSUER, f"{ISSUER}/"):
        issuer.claims["iss"] = said
        entered.append(enter(app, issuer).status)

    assert [303 if said == own else 403 for said in (ISSUER, f"{ISSUER}/")] == entered


def test_what_is_sent_to_the_provider(app: Any) -> None:
    """Code flow, PKCE with S256, state and nonce; the address to come back to is our own. Nothing twice."""
    queries = [dict(parse_qsl(urlsplit(Browser(app).get("/sign-in/oidc").location).query)) for _ in range(2)]

    assert queries[0]["response_type"] == "code"
    assert queries[0]["redirect_uri"] == "http://localhost/sign-in/oidc/back"
    for name in ("state", "nonce", "code_challenge"):
        assert len(queries[0][name]) >= 43
        assert queries[0][name] != queries[1][name]


def test_the_provider_does_not_learn_which_page_is_looked_at(app: Any) -> None:
    """A path names a job, and its query may name a person: the provider's logs have neither."""
    address = Browser(app).get("/sign-in/oidc?next=/jobs%3Frecipient%3Dlihua").location

    said = unquote(address)
    assert not [word for word in ("jobs", "recipient", "lihua") if word in said]
    assert not [
        word for word in (b"jobs", b"lihua") if word in b64decode(dict(parse_qsl(urlsplit(address).query))["state"])
    ]


def test_the_secret_in_the_browser_is_not_the_one_of_before(app: Any, issuer: FakeIssuer) -> None:
    """A token that was put into the browser is neither that of the sign-in nor that of the session."""
    browser = Browser(app)
    browser.cookies["worker-console"] = "a" * 43
    address = browser.get("/sign-in/oidc").location
    under_way = browser.cookies["worker-console"]

    browser.get(issuer.sign_in(address))

    assert len({"a" * 43, under_way, browser.cookies["worker-console"]}) == 3


def test_a_link_to_the_provider_does_not_sign_out(app: Any, issuer: FakeIssuer) -> None:
    """One of another site would take the session's cookie away."""
    browser = Browser(app)
    enter(app, issuer, browser)

    shown = browser.get("/sign-in/oidc?next=/jobs")

    assert shown.location == "/jobs"
    assert browser.get("/").status == 200


def test_an_answer_for_another_browser_is_refused(app: Any, issuer: FakeIssuer) -> None:
    """A victim who follows an attacker's link back is not signed in as the attacker (login CSRF)."""
    attacker, victim = Browser(app), Browser(app)
    victim.get("/sign-in/oidc")

    back = issuer.sign_in(attacker.get("/sign-in/oidc").location)

    assert victim.get(back).status == 403
    assert victim.get("/").status == 303


@pytest.mark.parametrize("state", ["", ".", "x./", "a" * 43 + "./"])
def test_a_wrong_state_is_refused(app: Any, issuer: FakeIssuer, state: str) -> None:
    """The code is not even shown to the provider."""
    browser = Browser(app)
    browser.get(issuer.sign_in(browser.get("/sign-in/oidc").location).replace("/sign-in/oidc/back", "/nowhere"))

    assert browser.get(f"/sign-in/oidc/back?{urlencode({'code': 'code0', 'state': state})}").status == 403
    assert "/token" not in issuer.asked


def test_a_state_cannot_be_given_another_end(app: Any, issuer: FakeIssuer) -> None:
    """Where the browser goes afterwards is part of what is checked."""
    browser = Browser(app)
    sealed = parse_qs(urlsplit(issuer.sign_in(browser.get("/sign-in/oidc?next=/jobs").location)).query)

    for n in range(len(sealed["state"][0].rstrip("=")) - 1):  # the last letter has bits that say nothing
        [state] = sealed["state"]
        other = state[:n] + ("A" if state[n] != "A" else "B") + state[n + 1 :]
        back = f"/sign-in/oidc/back?{urlencode({'code': sealed['code'][0], 'state': other})}"
        assert browser.get(back).status == 403
    assert "/token" not in issuer.asked


def test_a_code_is_worth_something_once(app: Any, issuer: FakeIssuer) -> None:
    """A second use, in the same browser, signs nobody in."""
    browser = Browser(app)
    back = issuer.sign_in(browser.get("/sign-in/oidc").location)
    under_way = dict(browser.cookies)
    browser.get(back)

    browser.cookies.update(under_way)

    assert browser.get(back).status == 403


def test_a_stolen_code_needs_its_verifier(app: Any, issuer: FakeIssuer) -> None:
    """PKCE: a code of one sign-in cannot be used in another one, though its state is right."""
    victim, attacker = Browser(app), Browser(app)
    stolen = dict(parse_qsl(urlsplit(issuer.sign_in(victim.get("/sign-in/oidc").location)).query))
    own = dict(parse_qsl(urlsplit(issuer.sign_in(attacker.get("/sign-in/oidc").location)).query))

    shown = attacker.get(f"/sign-in/oidc/back?{urlencode({'code': stolen['code'], 'state': own['state']})}")

    assert shown.status == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": [CLIENT, "another"]},
        {"aud": ["another", CLIENT], "azp": None},
        {"aud": CLIENT, "azp": "another"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 1_900_000_000},
        {"email": None},
        {"email": ["ada"]},
        {"email": ""},
        {"email": "a\ud800da"},
        {"email": "a\x00da"},
        {"email": "a" * 129},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "false"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_is_refused(app: Any, issuer: FakeIssuer, claims: dict[str, Any]) -> None:
    """Of another sign-in, another provider, for another client, too late, too early, or without a name."""
    issuer.claims.update(claims)

    assert enter(app, issuer).status == 403


@pytest.mark.parametrize("claims", [{"aud": [CLIENT]}, {"aud": [CLIENT, "another"], "azp": CLIENT}], ids=str)
def test_a_token_that_was_made_for_us_among_others_is_taken(
    app: Any, issuer: FakeIssuer, claims: dict[str, Any]
) -> None:
    """It says so."""
    issuer.claims.update(claims)

    assert enter(app, issuer).status == 303


def test_another_claim_than_the_email_needs_no_verified_one(
    database: Database, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person cannot choose, such as the provider's own id of them."""
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    app = app_of(database, issuer, clock, oidc={**OIDC, "claim": "oid"})
    issuer.claims.update({"oid": "ada", "email_verified": None})

    assert enter(app, issuer).status == 303


@pytest.mark.usefixtures("driven_clock")
def test_a_stranger_has_few_codes_exchanged(app: Any, issuer: FakeIssuer, clock: Clock) -> None:
    """One for each way through the provider's page, and so many from an address: each is a call with our secret."""
    browser = Browser(app, client="10.0.0.1")

    shown = []
    for _ in range(MAX_PER_ADDRESS + 2):
        back = issuer.sign_in(browser.get("/sign-in/oidc").location).replace("=code", "=forged")
        shown += [browser.get(back).status for _ in range(3)]

    assert issuer.asked.count("/token") == MAX_PER_ADDRESS
    assert set(shown) == {403, 429}
    assert enter(app, issuer, Browser(app, client="10.0.0.1")).status == 429
    assert enter(app, issuer, Browser(app, client="10.0.0.2")).status == 303


def test_many_persons_of_one_address_sign_in(app: Any, issuer: FakeIssuer) -> None:
    """What ends well is not counted."""
    shown = [enter(app, issuer, Browser(app, client="10.0.0.1")).status for _ in range(MAX_PER_ADDRESS + 2)]

    assert set(shown) == {303}


@pytest.mark.parametrize(
    "keys", [{"keys": []}, {"keys": [{}]}, {"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}]}, [5], "x"]
)
def test_a_provider_whose_keys_cannot_be_read_is_away(app: Any, issuer: FakeIssuer, keys: Any) -> None:
    """A page with the other ways to sign in, not an error of ours."""
    issuer.keys = keys

    assert Browser(app).get("/sign-in/oidc").status == 503


def test_a_provider_that_is_away_is_not_asked_by_every_browser(app: Any, issuer: FakeIssuer, clock: Clock) -> None:
    """Some seconds pass before the next is let through, and the first that finds it back ends that."""
    issuer.is_away = True
    shown = [Browser(app).get("/sign-in/oidc").status for _ in range(20)]
    asked = len(issuer.asked)
    issuer.is_away = False
    soon = Browser(app).get("/sign-in/oidc").status
    clock.now += RETRY_S

    assert (set(shown), asked, soon) == ({503}, 1, 503)
    assert enter(app, issuer).status == 303


def test_a_token_that_another_key_signed_is_refused(app: Any, issuer: FakeIssuer) -> None:
    """Even when it says that it is the published one."""
    issuer.signer = jwk.RSAKey.generate_key(2048, {"kid": "one"})

    assert enter(app, issuer).status == 403


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_a_token_without_a_public_keys_signature_is_refused(
    app: Any, issuer: FakeIssuer, alg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an unsigned one nor one signed with what everyone can read."""

    def unsigned(nonce: str) -> str:
        claims = {"iss": ISSUER, "aud": CLIENT, "iat": 1_800_000_000, "exp": 1_800_000_300, "nonce": nonce}
        parts = ({"alg": alg, "kid": "one"}, {**claims, "email": "ada", "email_verified": True})
        return ".".join(urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts) + "."

    monkeypatch.setattr(issuer, "_id_token", unsigned)

    assert enter(app, issuer).status == 403


def test_a_new_key_of_the_provider_is_found(app: Any, issuer: FakeIssuer, clock: Clock) -> None:
    """Without a restart, and without asking for it with each forged token."""
    assert enter(app, issuer).status == 303
    issuer.key, issuer.header = jwk.RSAKey.generate_key(2048, {"kid": "two"}), {"alg": "RS256", "kid": "two"}

    too_soon = enter(app, issuer).status
    keys_asked = issuer.asked.count("/keys")
    clock.now += 61
    later = enter(app, issuer).status

    assert (too_soon, keys_asked, later) == (403, 1, 303)


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://login.example/token"}, {"jwks_uri": None}],
    ids=str,
)
def test_a_document_of_another_provider_is_refused(app: Any, issuer: FakeIssuer, metadata: dict[str, Any]) -> None:
    """Or one whose addresses are not secret on the way."""
    issuer.metadata = metadata

    assert Browser(app).get("/sign-in/oidc").status == 503


def test_a_provider_that_is_away_is_said_so(app: Any, issuer: FakeIssuer, clock: Clock) -> None:
    """On the page of the sign-in; those who are in stay in."""
    browser = Browser(app)
    enter(app, issuer, browser)
    issuer.is_away = True
    clock.now += CACHE_S + 1

    shown = Browser(app).get("/sign-in/oidc", accept_language="en")

    assert shown.status == 503
    assert "cannot be reached" in shown.text
    assert browser.get("/").status == 200


def test_whom_the_settings_do_not_name_stays_out(app: Any, issuer: FakeIssuer, database: Database) -> None:
    """The provider vouches for them, which the audit keeps."""
    issuer.claims["email"] = "stranger"

    shown = enter(app, issuer)

    with database.reading() as connection:
        assert [(one.action, one.person) for one in list_audit(connection)] == [("console.refused", "stranger")]
    assert shown.status == 403


def test_others_may_look_when_the_settings_say_so(
    database: Database, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As readers."""
    monkeypatch.setenv("CONSOLE_SECRET", SECRET)
    app = app_of(database, issuer, clock, others="reader")
    issuer.claims["email"] = "stranger"
    browser = Browser(app)

    enter(app, issuer, browser)

    assert "只读" in browser.get("/").text


def test_no_secret_is_logged(
    app: Any, issuer: FakeIssuer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the client's nor a token, when something is refused."""
    issuer.claims["nonce"] = "forged"
    enter(app, issuer)
    issuer.is_away = True
    enter_away = Browser(app)
    enter_away.get("/sign-in/oidc")

    told = "".join(capsys.readouterr())
    assert "not vouched for" in told
    assert not [word for word in (SECRET, "forged", "eyJ", "code0") if word in told]


@pytest.mark.parametrize("issuer_address", ["http://login.example", "login.example", "https://user@login.example"])
def test_a_provider_has_to_be_reached_over_https(issuer_address: str) -> None:
    """Keys that came in the clear would vouch for anyone."""
    with pytest.raises(ValueError, match="https"):
        ConsoleSettings(oidc=OidcSettings(issuer=issuer_address, client_id=CLIENT))
