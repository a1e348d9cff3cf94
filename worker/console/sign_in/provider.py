"""The client of an OpenID Connect provider: the URL to which a browser is sent, and the person who comes back.

Uses the authorization code flow with PKCE, state and nonce. All three are derived from the token in the browser's
cookie, which is new for each sign-in. So nothing is stored, and a code, state or ID token of another browser is
useless. The state is sealed: the provider and its logs do not learn which page a person opens.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from requests import RequestException, Session

from worker.config.console import OidcSettings
from worker.console.sign_in.cookie import derive_token
from worker.console.sign_in.passwords import needs_extra
from worker.crypto.seal import NONCE_BYTES, seal, unseal
from worker.domain.account import Egress
from worker.transport.egress.tls import SYSTEM
from worker.transport.session import Web, WebError

DEADLINE_S = 10.0
"""Seconds in which the provider must have answered with its documents, or with a token."""
MAX_BYTES = 1024 * 1024
"""Bytes of one of its answers, at most."""
CACHE_S, KEY_REFRESH_S, RETRY_S = 3_600.0, 60.0, 5.0
"""Seconds for which the provider's endpoints and keys are cached; after which they may be fetched again because of an
unknown key; and after which they may be fetched again when that has failed."""
STATE, MIN_STATE = "oidc state", 64
"""The purpose for which a state is sealed, and the length to which it is padded, so that its length reveals no page."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""The accepted signature algorithms, all with public keys. A token that is signed in another way is refused."""
LEEWAY_S = 60
REFUSALS = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
)
"""Why a provider gives no code or does not exchange it, RFC 6749 sections 4.1.2.1 and 5.2."""
MAX_NAME = 128


class IdentityNotConfirmed(Exception):
    """The provider, or the answer in its name, does not confirm who the person is. The text is for the log."""


@dataclass(frozen=True, slots=True)
class _Discovery:
    """The provider's discovery document and keys."""

    issuer: str
    """Exactly as the provider writes it, because every one of its ID tokens has the same text."""
    authorization_endpoint: str
    token_endpoint: str
    takes_secret_in_body: bool
    """Whether the token endpoint takes the client's secret in the body only, not as HTTP's basic authentication."""
    keys: Any
    read_at: float


class Provider:
    """The provider of the settings."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        web: Web | None = None,
        now: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ):
        """`web` carries the requests to the provider; by default over the network."""
        try:
            from authlib.integrations.requests_client.oauth2_session import OAuth2Client, OAuth2ClientAuth
        except ImportError:
            raise needs_extra("sign-ins by OpenID Connect") from None
        self._settings, self._web, self._now, self._entropy = settings, web or Web(), now, entropy
        self._client_class, self._client_auth_class = OAuth2Client, OAuth2ClientAuth
        self._secret = settings.client_secret and settings.client_secret.read("console.oidc.client_secret")
        self._guard = threading.Lock()
        self._cached: _Discovery | None = None
        self._retry_at = 0.0

    def address(self, token: str, callback_url: str, next_path: str) -> str:
        """Returns the URL to which to send the browser with this token; `callback_url` is ours, for its way back."""
        discovery = self._discovery()
        url, _ = self._client(None, callback_url).create_authorization_url(
            discovery.authorization_endpoint,
            state=seal(next_path.ljust(MIN_STATE), secret=token, context=STATE, nonce=self._entropy(NONCE_BYTES)),
            nonce=derive_token(token, "nonce"),
            code_verifier=derive_token(token, "verifier"),
        )
        return str(url)

    def next_path(self, token: str, state: str) -> str:
        """Returns the page that the browser wanted; raises IdentityNotConfirmed if the state is not ours."""
        next_path = unseal(state, secret=token, context=STATE)
        if next_path is None:
            raise IdentityNotConfirmed("state")
        return next_path.rstrip()

    def person(self, token: str, callback_url: str, code: str) -> str:
        """Exchanges a code for the person's name; raises IdentityNotConfirmed if the provider does not confirm it."""
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            return self._person_of(self._claims(token, callback_url, code))
        except AuthlibBaseError as error:
            raise IdentityNotConfirmed(_known_word(error.error, type(error).__name__)) from None
        except WebError as error:
            raise IdentityNotConfirmed(error.reason) from None
        except (JoseError, RequestException, ValueError, KeyError, TypeError) as error:
            # Only the error's class, because its text may quote a token.
            raise IdentityNotConfirmed(type(error).__name__) from None

    def _claims(self, token: str, callback_url: str, code: str) -> dict[str, Any]:
        discovery = self._discovery()
        with self._session() as session:
            client = self._client(session, callback_url)
            if self._secret and discovery.takes_secret_in_body:
                client.token_endpoint_auth_method = "client_secret_post"
            answer = client.fetch_token(
                discovery.token_endpoint,
                code=code,
                code_verifier=derive_token(token, "verifier"),
                allow_redirects=False,
            )
        return self._verified(str(answer["id_token"]), derive_token(token, "nonce"))

    def _verified(self, id_token: str, nonce: str) -> dict[str, Any]:
        """Returns the claims of an ID token after checking its signature, issuer, audience, nonce and expiry."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError

        client = self._settings.client_id
        try:
            claims = jwt.decode(id_token, self._discovery().keys, algorithms=ALGORITHMS).claims
        except InvalidKeyIdError:
            claims = jwt.decode(id_token, self._discovery(KEY_REFRESH_S).keys, algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._discovery().issuer},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        # A token for several audiences has to name the client that got it. Else another client could use its own here.
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_shared else client) != client:
            raise IdentityNotConfirmed("azp")
        return dict(claims)

    def _person_of(self, claims: dict[str, Any]) -> str:
        name = claims[self._settings.claim]
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise IdentityNotConfirmed("claim")
        # An unverified address may have been typed by anyone. If the provider does not send this, use another claim.
        if self._settings.claim == "email" and claims.get("email_verified") is not True:
            raise IdentityNotConfirmed("email_verified")
        return name

    def _discovery(self, max_age_s: float = CACHE_S) -> _Discovery:
        """Returns the provider's endpoints and keys, from the cache if they are young enough.

        Raises IdentityNotConfirmed if the provider cannot be reached.
        """
        with self._guard:
            if self._cached is None or self._now() - self._cached.read_at > max_age_s:
                if self._now() < self._retry_at:
                    raise IdentityNotConfirmed("away")
                self._retry_at = self._now() + RETRY_S
                self._cached = self._fetch_discovery()
                self._retry_at = 0.0
            return self._cached

    def _fetch_discovery(self) -> _Discovery:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        issuer = self._settings.issuer.rstrip("/")
        try:
            with self._session() as session:
                document = self._get(session, f"{issuer}/.well-known/openid-configuration")
                if document["issuer"] not in (issuer, f"{issuer}/"):
                    raise IdentityNotConfirmed("issuer")
                keys = KeySet.import_key_set(self._get(session, _require_https(document["jwks_uri"])))
            endpoints = _require_https(document["authorization_endpoint"]), _require_https(document["token_endpoint"])
            # Where the document says nothing, it is basic authentication.
            methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            in_body = "client_secret_post" in methods and "client_secret_basic" not in methods
            return _Discovery(document["issuer"], *endpoints, in_body, keys, self._now())
        except WebError as error:
            raise IdentityNotConfirmed(error.reason) from None
        except (JoseError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise IdentityNotConfirmed(type(error).__name__) from None

    def _get(self, session: Session, url: str) -> Any:
        answer = session.get(url, allow_redirects=False)
        if answer.status_code != 200:
            raise IdentityNotConfirmed("status")
        return json.loads(answer.content)

    def _session(self) -> Session:
        return self._web.session(DEADLINE_S, max_bytes=MAX_BYTES, egress=Egress(ca=SYSTEM))

    def _client(self, session: Session | None, callback_url: str) -> Any:
        """Returns the protocol's client, which sends its requests with our session."""
        client: Any = self._client_class(
            session,
            self._settings.client_id,
            self._secret,
            scope=self._settings.scope,
            redirect_uri=callback_url,
            code_challenge_method="S256",
        )
        # What authlib's own session has besides.
        client.client_auth_class, client.SESSION_REQUEST_PARAMS = self._client_auth_class, ("allow_redirects",)
        return client


def code_of(query: Mapping[str, str]) -> str:
    """Returns the code with which a browser comes back; raises IdentityNotConfirmed if the provider gave it none."""
    if code := query.get("code"):
        return code
    raise IdentityNotConfirmed(_known_word(query.get("error"), "no code"))


def _known_word(refusal: object, other: str) -> str:
    """Returns a refusal if it is a word of the protocol, else `other`, because the log must not quote any text."""
    return refusal if isinstance(refusal, str) and refusal in REFUSALS else other


def _require_https(url: Any) -> str:
    """Returns the URL; raises IdentityNotConfirmed unless it is an https one."""
    if not isinstance(url, str) or not url.startswith("https://"):
        raise IdentityNotConfirmed("address")
    return url
