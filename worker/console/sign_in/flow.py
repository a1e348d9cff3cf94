"""Finds the viewer of a request, and has the pages for signing in and out.

Every sign-in makes a new token. What a person may do depends on the current settings, not on those at the sign-in.
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
from worker.console.sign_in.cookie import derive_token, remember_browser, remembered_browser, set_token, token_of
from worker.console.sign_in.passwords import Passwords
from worker.console.sign_in.provider import MAX_NAME, IdentityNotConfirmed, Provider, code_of
from worker.console.sign_in.sessions import Sessions, SignedIn, SignInLink, Way, hash_token
from worker.console.sign_in.tries import Tries
from worker.console.viewer import Role, Viewer
from worker.console.visit import CHOICES, LANGS, THEMES, Endpoint, Visit, choices, own_path, root_of
from worker.console.words import term
from worker.control.audit import audited

log = structlog.get_logger()

YEAR_S = 31_536_000
CALLBACK_PATH = "/sign-in/oidc/back"
UNKNOWN_USER = "-"
"""Written to the audit in place of a name that no user has."""
LIVE_HEADER = "x-live"
"""The header of a request by which a page refreshes itself."""


class SignIn:
    """The authenticator of the console: all ways to sign in that the settings name."""

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
        """The routes that are open to browsers without a sign-in, too."""
        return (
            Endpoint("/sign-in", "GET", self._sign_in_page),
            Endpoint("/sign-in", "POST", self._by_password, is_costly=True),
            Endpoint("/sign-in/link", "GET", self._by_link),
            Endpoint("/sign-in/oidc", "GET", self._to_provider, is_costly=True),
            Endpoint(CALLBACK_PATH, "GET", self._from_provider, is_costly=True),
            Endpoint("/sign-out", "POST", self._sign_out),
            Endpoint("/choice", "POST", _set_choices),
        )

    def visit(self, request: Request) -> Visit:
        """Returns the browser of a request and its viewer; runs in a thread."""
        lang, theme = choices(request)
        token = token_of(request)
        # A page that refreshes itself sends this header. Without a person's action a session is not prolonged.
        is_used = LIVE_HEADER not in request.headers
        signed_in = self._from_proxy(request) or (self._sessions.find(token, is_used=is_used) if token else None)
        role = signed_in and self._role(signed_in)
        token = token or self._new_token()
        viewer = Viewer(signed_in.person, *role, lang, theme) if signed_in and role else None
        can_sign_out = signed_in is not None and signed_in.way != "proxy"
        return Visit(viewer, lang, theme, derive_token(token, "form"), token, can_sign_out)

    def _role(self, signed_in: SignedIn) -> tuple[Role, frozenset[str]] | None:
        """Returns a person's role and accounts by the current settings, or None if they may not sign in this way."""
        settings, user = self._settings, self._settings.users.get(signed_in.person)
        match signed_in.way:
            case "password":
                # A changed password ends the sessions of the old one.
                is_way = signed_in.proof == self._proof(signed_in.person)
            case "oidc":
                is_way = settings.oidc is not None
            case "proxy":
                is_way = settings.user_header is not None
            case "link":
                # There is a link only if no user is configured.
                return ("admin", frozenset({EVERY_ACCOUNT})) if self._link else None
            case _:
                assert_never(signed_in.way)
        if user is not None:
            return (user.role, frozenset(user.accounts)) if is_way else None
        return (settings.others, frozenset()) if is_way and settings.others and signed_in.way != "password" else None

    def _proof(self, person: str) -> str:
        return hash_token(self._settings.passwords.get(person, ""))

    def _from_proxy(self, request: Request) -> SignedIn | None:
        header = self._settings.user_header
        if header is None or not request.scope[FROM_PROXY]:
            return None
        names = request.headers.getlist(header)
        if len(names) > 1:
            raise Forbidden
        try:
            # Blanks and tabs around a value belong to the header. Any other character belongs to the name: without it,
            # it would be another person's name.
            person = names[0].encode("latin-1").decode().strip(" \t") if names else ""
        except UnicodeDecodeError:
            raise Forbidden from None
        if not person.isprintable() or len(person) > MAX_NAME:
            raise Forbidden
        return SignedIn(person, "proxy") if person else None

    @property
    def _settings(self) -> ConsoleSettings:
        return self._site.settings.console

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _sign_in_page(self, request: Request, visit: Visit, form: QueryParams) -> View | Redirect:
        next_path = request.query_params.get("next", "/")
        return own_path(next_path) if visit.viewer else self._form(visit, next_path)

    def _form(self, visit: Visit, next_path: str, problem: str | None = None, status: int = 200) -> View:
        ways = {"has_passwords": self._passwords is not None, "has_provider": self._provider is not None}
        is_by_link = self._link is not None
        data = {**ways, "is_by_link": is_by_link, "next": next_path, "problem": problem}
        return View("sign_in.html", term(visit.lang, "sign_in.title"), data, status)

    def _by_password(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._passwords is None:
            raise NotFound
        name, next_path = form.get("name", "").strip()[:MAX_NAME], form.get("next", "/")
        client, hashed_password = _client_address(request), self._settings.passwords.get(name)
        browser = remembered_browser(request, name, hashed_password)
        counts = tries.by_browser(browser) if browser else tries.by_password(name, client)
        try_ids = self._tries.begin(counts)
        if try_ids is None:
            return self._too_many_tries(visit, client, next_path)
        if not self._passwords.is_right(name, form.get("password", "")):
            # The name is not written if no user has it: it may be a password in the wrong field. The row itself is
            # written always, so that the time it takes does not reveal which names exist.
            person = UNKNOWN_USER if hashed_password is None else name
            self._audit("console.refused", person, "password", client)
            return self._form(visit, next_path, "sign_in.wrong", 403)
        self._tries.succeed(counts, try_ids)
        response = self._open_session(request, visit, SignedIn(name, "password", self._proof(name)), next_path)
        remember_browser(request, response, name, self._settings.passwords[name], self._new_token())
        return response

    def _too_many_tries(self, visit: Visit, client: str, next_path: str) -> View:
        log.warning("console_sign_in", outcome="too many tries", address=client)
        return self._form(visit, next_path, "sign_in.too_many", 429)

    def _by_link(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._link is None or not self._link.take(request.query_params.get("token", "")):
            return self._form(visit, "/", "sign_in.link_used", 403)
        return self._open_session(request, visit, SignedIn(self._link.person, "link"), "/")

    def _to_provider(self, request: Request, visit: Visit, form: QueryParams) -> View | Redirect | Response:
        if self._provider is None:
            raise NotFound
        next_path, token = request.query_params.get("next", "/"), self._new_token()
        if visit.viewer:
            # A link on another site must not replace the cookie of the session.
            return own_path(next_path)
        try:
            url = self._provider.address(token, _callback_url(request), next_path)
        except IdentityNotConfirmed as error:
            log.warning("console_sign_in", outcome="the provider is away", error=str(error))
            return self._form(visit, next_path, "sign_in.provider_away", 503)
        response = RedirectResponse(url, 303)
        set_token(request, response, token)
        return response

    def _from_provider(self, request: Request, visit: Visit, form: QueryParams) -> View | Response:
        if self._provider is None:
            raise NotFound
        state, client = request.query_params.get("state", ""), _client_address(request)
        counts = tries.by_exchange(visit.token, client)
        try:
            next_path = self._provider.next_path(visit.token, state)
            code = code_of(request.query_params)
            # Each exchange is a call with the client secret. Strangers must not cause thousands of them.
            if (try_ids := self._tries.begin(counts)) is None:
                return self._too_many_tries(visit, client, next_path)
            person = self._provider.person(visit.token, _callback_url(request), code)
        except IdentityNotConfirmed as error:
            log.warning("console_sign_in", outcome="not vouched for", error=str(error))
            return self._form(visit, "/", "sign_in.not_confirmed", 403)
        self._tries.succeed(counts, try_ids)
        signed_in = SignedIn(person, "oidc")
        if self._role(signed_in) is None:
            self._audit("console.refused", person, "oidc", "")
            return self._form(visit, "/", "sign_in.not_a_user", 403)
        return self._open_session(request, visit, signed_in, next_path)

    def _open_session(self, request: Request, visit: Visit, signed_in: SignedIn, next_path: str) -> Response:
        """Opens a session with a new token, ends the one before, and redirects to the page that the person wanted."""
        self._sessions.end(visit.token)
        token = self._sessions.open(signed_in)
        self._audit("console.sign_in", signed_in.person, signed_in.way, _client_address(request))
        response = _redirect(request, own_path(next_path))
        set_token(request, response, token, self._settings.session_s)
        return response

    def _sign_out(self, request: Request, visit: Visit, form: QueryParams) -> Response:
        self._sessions.end(visit.token)
        if visit.viewer:
            self._audit("console.sign_out", visit.viewer.name, None, "")
        response = _redirect(request, Redirect("/sign-in"))
        set_token(request, response, self._new_token())
        return response

    def _audit(self, action: str, person: str, way: Way | None, client: str) -> None:
        arguments = {name: value for name, value in (("way", way), ("address", client)) if value}
        site = self._site
        with audited(
            action, person=person, why="", arguments=arguments, database=site.database, settings=site.settings
        ):
            pass


def _set_choices(request: Request, visit: Visit, form: QueryParams) -> Response:
    """Stores the chosen language or theme in a cookie."""
    lang, theme = form.get("lang", visit.lang), form.get("theme", visit.theme)
    response = _redirect(request, own_path(form.get("next", "/")))
    if lang in LANGS and theme in THEMES:
        is_secure = request.url.scheme == "https"
        path = root_of(request.scope) or "/"
        response.set_cookie(
            CHOICES, f"{lang}.{theme}", YEAR_S, path=path, secure=is_secure, httponly=True, samesite="lax"
        )
    return response


def _client_address(request: Request) -> str:
    return request.client.host if request.client else ""


def _redirect(request: Request, redirect: Redirect) -> Response:
    return RedirectResponse(address(root_of(request.scope), redirect.path, redirect.query), 303)


def _callback_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}{root_of(request.scope)}{CALLBACK_PATH}"
