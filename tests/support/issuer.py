"""An OpenID Connect provider in memory, which does as it should unless a test tells it otherwise."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import requests
from joserfc import jwk, jwt
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

ISSUER = "https://login.example"
CLIENT, SECRET = "console", "client-secret"


@cache
def _key() -> jwk.RSAKey:
    """One for all issuers of a run: a tenth of a second each."""
    return jwk.RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class FakeIssuer(BaseAdapter):
    """Carries the requests to itself; the person who signs in there is `claims`."""

    now: Callable[[], float]
    claims: dict[str, Any] = field(default_factory=lambda: {"email": "ada", "email_verified": True})
    key: jwk.RSAKey = field(default_factory=_key)
    signer: jwk.RSAKey | None = None
    """Signs in place of `key`, which is the published one."""
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": "one"})
    metadata: dict[str, Any] = field(default_factory=dict)
    """What its document says otherwise."""
    keys: Any = None
    """What it publishes in place of its keys."""
    is_away: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def session(self, deadline_s: float, **options: Any) -> requests.Session:
        """See `Web.session`."""
        session = requests.Session()
        session.mount("https://", self)
        return session

    def sign_in(self, address: str) -> str:
        """A person signs in at the address that a browser was sent to; the path that they are sent back to."""
        query = dict(parse_qsl(urlsplit(address).query))
        assert address.startswith(f"{ISSUER}/authorize?")
        assert query["code_challenge_method"] == "S256"
        code = f"code{len(self.codes)}"
        self.codes[code] = query
        back = urlsplit(query["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': query['state']})}"

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        """Answers as the provider's pages say."""
        self.asked.append(urlsplit(str(request.url)).path)
        answer = Response()
        answer.status_code, document = self._answer(request)
        if self.is_away:
            answer.status_code = 503
        answer._content = json.dumps(document).encode()
        answer.headers["content-type"] = "application/json"
        answer.request, answer.url = request, str(request.url)
        return answer

    def close(self) -> None:
        """Has nothing to close."""

    def _answer(self, request: PreparedRequest) -> tuple[int, dict[str, Any]]:
        match urlsplit(str(request.url)).path:
            case "/.well-known/openid-configuration":
                ends = {
                    "issuer": ISSUER,
                    "authorization_endpoint": f"{ISSUER}/authorize",
                    "token_endpoint": f"{ISSUER}/token",
                    "jwks_uri": f"{ISSUER}/keys",
                }
                return 200, ends | self.metadata
            case "/keys":
                return 200, self.keys or {"keys": [self.key.as_dict(private=False)]}
            case _:
                return self._token(request)

    def _token(self, request: PreparedRequest) -> tuple[int, dict[str, Any]]:
        """Gives a token once for each code, to the client that can prove that it asked for it."""
        form = {name: values[0] for name, values in parse_qs(str(request.body)).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        given = b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if self.metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            given = f"{form.get('client_id')}:{form.get('client_secret')}"
        challenge = urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if given != f"{CLIENT}:{SECRET}":
            return 401, {"error": "invalid_client", "error_description": f"{CLIENT} has no such secret"}
        if asked is None or challenge != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}

    def _id_token(self, nonce: str) -> str:
        now = int(self.now())
        own = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {name: value for name, value in {**own, **self.claims}.items() if value is not None}
        return jwt.encode(self.header, claims, self.signer or self.key)
