"""The door: who a request is of, and the pages of signing in and out.

A sign-in makes a new token. What its person may do is decided by the settings of now, not by those of then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker.config.console import EVERY_ACCOUNT, ConsoleSettings
from worker.console.guard import FROM_PROXY
from worker.console.page import Forbidden, NotFound, Redirect, Site, View
from worker.console.rendering import address
from worker.console.sign_in import tries
from worker.console.sign_in.cookie import derived, give_token, known_browser, remember_browser, token_of
from worker.console.sign_in.passwords import Passwords
from worker.console.sign_in.provider import LONGEST_NAME, NotVouchedFor, Provider
from worker.console.sign_in.sessions import Sessions, SignedIn, SignInLink, Way, hashed
from worker.console.sign_in.tries import Tries
from worker.console.viewer import Role, Viewer
from worker.console.visit import CHOICES, LANGS, THEMES, Endpoint, Visit, choices, own_path, root_of
from worker.console.words import term
from worker.control.audit import audited

log = structlog.get_logger()

YEAR_S = 31_536_000
BACK = "/sign-in/oidc/back"
NO_USER = "-"
"""Stands in the audit for a name that no user has."""
LIVE = "x-live"
"""The header of a request that a page makes by itself."""


class SignIn:
    """All ways in that the settings name."""

    def __init__(
        self,
        site: Site,
        *,
        new_token: Callable[[], str],
        passwords: Passwords | None,
        provider: Provider | None,
        link: SignInLink | None = None,
    ):
        self._site, self._new_token = site, new_token
        self._passwords, self._provider, self._link = passwords, provider, link
        self._sessions = Sessions(site.database, site.settings.console, new_token)
        self._tries = Tries(site.database)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What answers those who have not signed in, too."""
        return (
            Endpoint("/sign-in", "GET", self._ask_who),
            Endpoint("/sign-in", "POST", self._by_password, is_costly=True),
            Endpoint("/sign-in/link", "GET", self._by_link),
            Endpoint("/sign-in/oidc", "GET", self._to_provider, is_costly=True),
            Endpoint(BACK, "GET", self._from_provider, is_costly=True),
            Endpoint("/sign-out", "POST", self._sign_out),
            Endpoint("/choice", "POST", _choose),
        )

    def visit(self, request: Request) -> Visit:
        """The viewer of a request, and its browser; runs in a thread."""
        lang, theme = choices(request)
        token = token_of(request)
        # A page that keeps itself fresh says so: what no person did keeps no session.
        is_used = LIVE not in request.headers
        signed = self._by_proxy(request) or (self._sessions.of(token, is_used=is_used) if token else None)
        role = signed and self._role(signed)
        token = token or self._new_token()
        viewer = Viewer(signed.person, *role, lang, theme) if signed and role else None
        can_sign_out = signed is not None and signed.way != "proxy"
        return Visit(viewer, lang, theme, derived(token, "form"), token, can_sign_out)

    def _role(self, signed: SignedIn) -> tuple[Role, frozenset[str]] | None:
        """What a person may do by the settings of now; None: they may not sign in any more, or not in this way."""
        settings, user = self._settings, self._settings.users.get(signed.person)
        match signed.way:
            case "password":
                # A password that was changed ends the sessions of the one before.
                is_way = signed.proof == self._proof(signed.person)
            case "oidc":
                is_way = settings.oidc is not None
            case "proxy":
                is_way = settings.user_header is not None
            case "link":
                # Only where no user is configured: then there is a link.
                return ("admin", frozenset({EVERY_ACCOUNT})) if self._link else None
            case _:
                assert_never(signed.way)
        if user is not None:
            return (user.role, frozenset(user.accounts)) if is_way else None
        return (settings.others, frozenset()) if is_way and settings.others and signed.way != "password" else None

    def _proof(self, person: str) -> str:
        return hashed(self._settings.passwords.get(person, ""))

    def _by_proxy(self, request: Request) -> SignedIn | None:
        header = self._settings.user_header
        if header is None or not request.scope[FROM_PROXY]:
            return None
        named = request.headers.getlist(header)
        if len(named) > 1:
            raise Forbidden
        try:
            # Blanks and tabs around a value are the header's own. Any other sign is the name's: without it, it would be
            # another person's.
            person = named[0].encode("latin-1").decode().strip(" \t") if named else ""
        except UnicodeDecodeError:
            raise Forbidden from None
        if not person.isprintable() or len(person) > LONGEST_NAME:
            raise Forbidden
        return SignedIn(person, "proxy") if person else None

    @property
    def _settings(self) -> ConsoleSettings:
        return self._site.settings.console

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _ask_who(self, request: Request, visit: Visit, form: QueryParams) -> View | Redirect:
        onward = request.query_params.get("next", "/")
        return own_path(onward) if visit.viewer else self._form(visit, onward)

    def _form(self, visit: Visit, onward: str, problem: str | None = None, status: int = 200) -> View:
        ways = {"has_passwords": self._passwords is not None, "has_provider": self._provider is not None}
        is_by_link = self._link is not None
        data = {**ways, "is_by_link": is_by_link, "next": onward, "problem": problem}
        return View("sign_in.html", term(visit.lang, "sign_in.title"), data, status)

    def _by_password(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._passwords is None:
            raise NotFound
        name, onward = form.get("name", "").strip()[:LONGEST_NAME], form.get("next", "/")
        client, hashed_password = _client(request), self._settings.passwords.get(name)
        browser = known_browser(request, name, hashed_password)
        counts = tries.of_known_browser(browser) if browser else tries.of_password(name, client)
        noted = self._tries.begin(counts)
        if noted is None:
            return self._too_many(visit, client, onward)
        if not self._passwords.is_right(name, form.get("password", "")):
            # An unknown name is not written down: it may be a password in the wrong field. The try is, lest the time of
            # writing tell which names there are.
            person = NO_USER if hashed_password is None else name
            self._note("console.refused", person, "password", client)
            return self._form(visit, onward, "sign_in.wrong", 403)
        self._tries.succeed(counts, noted)
        response = self._opened(request, visit, SignedIn(name, "password", self._proof(name)), onward)
        remember_browser(request, response, name, self._settings.passwords[name], self._new_token())
        return response

    def _too_many(self, visit: Visit, client: str, onward: str) -> View:
        log.warning("console_sign_in", outcome="too many tries", address=client)
        return self._form(visit, onward, "sign_in.too_many", 429)

    def _by_link(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._link is None or not self._link.take(request.query_params.get("token", "")):
            return self._form(visit, "/", "sign_in.link_used", 403)
        return self._opened(request, visit, SignedIn(self._link.person, "link"), "/")

    def _to_provider(self, request: Request, visit: Visit, form: QueryParams) -> View | Redirect | Response:
        if self._provider is None:
            raise NotFound
        onward, token = request.query_params.get("next", "/"), self._new_token()
        if visit.viewer:
            # A link of another site must not take the session's cookie away.
            return own_path(onward)
        try:
            url = self._provider.address(token, _back(request), onward)
        except NotVouchedFor as error:
            log.warning("console_sign_in", outcome="the provider is away", error=str(error))
            return self._form(visit, onward, "sign_in.provider_away", 503)
        response = RedirectResponse(url, 303)
        give_token(request, response, token)
        return response

    def _from_provider(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._provider is None:
            raise NotFound
        code, state, client = (
            request.query_params.get("code", ""),
            request.query_params.get("state", ""),
            _client(request),
        )
        counts = tries.of_exchange(visit.token, client)
        try:
            onward = self._provider.onward(visit.token, state)
            # Each exchange is a call with the client's secret, which strangers must not have made by the thousand.
            if (noted := self._tries.begin(counts)) is None:
                return self._too_many(visit, client, onward)
            person = self._provider.person(visit.token, _back(request), code)
        except NotVouchedFor as error:
            log.warning("console_sign_in", outcome="not vouched for", error=str(error))
            return self._form(visit, "/", "sign_in.not_vouched_for", 403)
        self._tries.succeed(counts, noted)
        signed = SignedIn(person, "oidc")
        if self._role(signed) is None:
            self._note("console.refused", person, "oidc", "")
            return self._form(visit, "/", "sign_in.not_a_user", 403)
        return self._opened(request, visit, signed, onward)

    def _opened(self, request: Request, visit: Visit, signed: SignedIn, onward: str) -> Response:
        """Signs a person in: with a new token, while the one of before opens nothing any more."""
        self._sessions.end(visit.token)
        token = self._sessions.open(signed)
        self._note("console.sign_in", signed.person, signed.way, _client(request))
        response = _sent_to(request, own_path(onward))
        give_token(request, response, token, self._settings.session_s)
        return response

    def _sign_out(self, request: Request, visit: Visit, form: QueryParams) -> Response:
        self._sessions.end(visit.token)
        if visit.viewer:
            self._note("console.sign_out", visit.viewer.name, None, "")
        response = _sent_to(request, Redirect("/sign-in"))
        give_token(request, response, self._new_token())
        return response

    def _note(self, action: str, person: str, way: Way | None, client: str) -> None:
        asked = {name: value for name, value in (("way", way), ("address", client)) if value}
        site = self._site
        with audited(action, person=person, why="", asked=asked, database=site.database, settings=site.settings):
            pass


def _choose(request: Request, visit: Visit, form: QueryParams) -> Response:
    """Remembers the language or the theme that was chosen."""
    lang, theme = form.get("lang", visit.lang), form.get("theme", visit.theme)
    response = _sent_to(request, own_path(form.get("next", "/")))
    if lang in LANGS and theme in THEMES:
        is_secure = request.url.scheme == "https"
        path = root_of(request.scope) or "/"
        response.set_cookie(
            CHOICES, f"{lang}.{theme}", YEAR_S, path=path, secure=is_secure, httponly=True, samesite="lax"
        )
    return response


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _sent_to(request: Request, moved: Redirect) -> Response:
    return RedirectResponse(address(root_of(request.scope), moved.path, moved.query), 303)


def _back(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}{root_of(request.scope)}{BACK}"
