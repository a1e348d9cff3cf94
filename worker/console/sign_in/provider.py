"""An OpenID Connect provider: the address to send a browser to, and who it says came back.

Authorization code with PKCE, state and nonce. All three take the token in the browser's cookie, made anew for each
sign-in, so that nothing is stored, and a code, a state or an ID token of another browser is worth nothing. The state
is sealed: the provider and its logs do not learn which page is looked at.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import truststore
from requests import RequestException
from requests.adapters import BaseAdapter, HTTPAdapter

from worker.config.console import OidcSettings
from worker.console.sign_in.cookie import derived
from worker.console.sign_in.passwords import needs_extra
from worker.crypto.seal import NONCE_BYTES, seal, unseal

TIMEOUT = (5.0, 10.0)
"""Seconds to connect, and between two pieces of an answer."""
KEPT_S, AGAIN_S, AWAY_S = 3_600.0, 60.0, 5.0
"""How long the provider's addresses and keys are kept; how soon they may be asked for again for a new key; and how soon
after it gave none."""
STATE, SHORTEST_STATE = "oidc state", 64
"""What a state is sealed for, and the characters to which it is filled up, so that its length tells no page."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Of signatures with a public key: a token that is signed with anything else says nothing."""
LEEWAY_S = 60
LONGEST_NAME = 128


class NotVouchedFor(Exception):
    """The provider, or what came back in its name, does not say who this is; the text is for the log."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the provider publishes of itself."""

    issuer: str
    """As it writes itself, to the sign: every ID token of it says the same."""
    authorization_endpoint: str
    token_endpoint: str
    keys: Any
    read_at: float


class Provider:
    """The provider of the settings."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        transport: BaseAdapter | None = None,
        now: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ):
        """`transport`: what carries the requests to the provider; by default the network."""
        try:
            from authlib.integrations.requests_client import OAuth2Session
        except ImportError:
            raise needs_extra("sign-ins by OpenID Connect") from None
        self._settings, self._transport, self._now = settings, transport or _SystemTrust(), now
        self._entropy = entropy
        self._session_class = OAuth2Session
        self._secret = settings.client_secret and settings.client_secret.read("console.oidc.client_secret")
        self._guard = threading.Lock()
        self._kept: _Known | None = None
        self._away_until = 0.0

    def address(self, token: str, back: str, onward: str) -> str:
        """Where to send a browser with this token; `back`: our own address to which the provider sends it back."""
        known = self._known()
        with self._session(back) as session:
            url, _ = session.create_authorization_url(
                known.authorization_endpoint,
                state=seal(onward.ljust(SHORTEST_STATE), secret=token, context=STATE, nonce=self._entropy(NONCE_BYTES)),
                nonce=derived(token, "nonce"),
                code_verifier=derived(token, "verifier"),
            )
        return str(url)

    def onward(self, token: str, state: str) -> str:
        """Returns where the browser that came back wanted to go; NotVouchedFor where it was not sent by us."""
        found = unseal(state, secret=token, context=STATE)
        if found is None:
            raise NotVouchedFor("state")
        return found.rstrip()

    def person(self, token: str, back: str, code: str) -> str:
        """Asks the provider who came back with this code; NotVouchedFor if it is not certain."""
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            return self._named(self._claims(token, back, code))
        except (AuthlibBaseError, JoseError, RequestException, ValueError, KeyError, TypeError) as error:
            # By its class: its text may quote a token.
            raise NotVouchedFor(type(error).__name__) from None

    def _claims(self, token: str, back: str, code: str) -> dict[str, Any]:
        known = self._known()
        with self._session(back) as session:
            answer = session.fetch_token(
                known.token_endpoint,
                code=code,
                code_verifier=derived(token, "verifier"),
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        return self._verified(str(answer["id_token"]), derived(token, "nonce"))

    def _verified(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is the provider's, for us, for this sign-in, and not over."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError

        client = self._settings.client_id
        try:
            claims = jwt.decode(id_token, self._known().keys, algorithms=ALGORITHMS).claims
        except InvalidKeyIdError:
            claims = jwt.decode(id_token, self._known(AGAIN_S).keys, algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._known().issuer},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        # A token for several has to say whom it was given to: any of the others could pass theirs on.
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_shared else client) != client:
            raise NotVouchedFor("azp")
        return dict(claims)

    def _named(self, claims: dict[str, Any]) -> str:
        name = claims[self._settings.claim]
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise NotVouchedFor("claim")
        # Without it anyone may have typed it: a provider that does not say takes another claim.
        if self._settings.claim == "email" and claims.get("email_verified") is not True:
            raise NotVouchedFor("email_verified")
        return name

    def _known(self, at_most_s: float = KEPT_S) -> _Known:
        """The provider's addresses and keys, asked for again when they are older; NotVouchedFor where it is away."""
        with self._guard:
            if self._kept is None or self._now() - self._kept.read_at > at_most_s:
                if self._now() < self._away_until:
                    raise NotVouchedFor("away")
                self._away_until = self._now() + AWAY_S
                self._kept = self._asked()
                self._away_until = 0.0
            return self._kept

    def _asked(self) -> _Known:
        from joserfc.jwk import KeySet

        wanted = self._settings.issuer.rstrip("/")
        try:
            with self._session("") as session:
                own = self._get(session, f"{wanted}/.well-known/openid-configuration")
                if own["issuer"] not in (wanted, f"{wanted}/"):
                    raise NotVouchedFor("issuer")
                keys = KeySet.import_key_set(self._get(session, _https(own["jwks_uri"])))
            ends = _https(own["authorization_endpoint"]), _https(own["token_endpoint"])
            return _Known(own["issuer"], *ends, keys, self._now())
        except (RequestException, ValueError, KeyError, TypeError) as error:
            raise NotVouchedFor(type(error).__name__) from None

    def _get(self, session: Any, url: str) -> Any:
        answer = session.get(url, timeout=TIMEOUT, allow_redirects=False, withhold_token=True)
        if answer.status_code != 200:
            raise NotVouchedFor("status")
        return answer.json()

    def _session(self, back: str) -> Any:
        session = self._session_class(
            self._settings.client_id,
            self._secret,
            scope=self._settings.scope,
            redirect_uri=back,
            code_challenge_method="S256",
        )
        session.mount("https://", self._transport)
        return session


class _SystemTrust(HTTPAdapter):
    """Trusts the authorities that the system does, as calls to vendors do."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Makes the pool with the system's trust."""
        super().init_poolmanager(*args, ssl_context=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options)


def _https(url: Any) -> str:
    """The address; NotVouchedFor for one that is not secret on its way."""
    if not isinstance(url, str) or not url.startswith("https://"):
        raise NotVouchedFor("address")
    return url
