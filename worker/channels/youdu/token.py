"""gettoken (c01_00002): the call, and what its answer means.

Each call brings a new token; whether the older one lives on is not documented, so nothing asks twice at once.
"""

from __future__ import annotations

from worker.channels.base import TokenGranted, TokenLater, TokenOutcome, TokenRefused
from worker.channels.wecom.errcodes import Class
from worker.channels.wecom.reply import integer, read, text_of
from worker.channels.wecom.token import retry_after
from worker.channels.youdu import errcodes
from worker.channels.youdu.account import DEFAULT_PATH
from worker.channels.youdu.envelope import envelope_of, opened, standard, wrong_place
from worker.domain.account import Account
from worker.domain.call import Reply, Request

DEADLINE_S = 10.0
USUAL_LIFE_S = 7200
UNREADABLE_DELAY_S = 5.0
WRONG_KEY = "the answer does not open with the account's key"


def token_request(account: Account, secret: str, now: int) -> Request:
    """The call that fetches the app's token: the time in seconds as text, encrypted."""
    envelope, plain = envelope_of(account, secret), str(now).encode()
    body = standard(account, envelope.seal(plain, envelope.leading(b"gettoken", plain)))
    path = f"{account.settings.get('api_path', DEFAULT_PATH)}/gettoken"
    return Request("POST", account.base_url, path, {}, body, "application/json", DEADLINE_S)


def token_outcome(reply: Reply, account: Account, secret: str) -> TokenOutcome:
    """Granted, refused (an operator must act), or later."""
    answer = read(reply)
    if answer is None:
        wrong = wrong_place(reply.status)
        if wrong is not None:
            return TokenRefused(f"http_{reply.status} from gettoken", wrong)
        return TokenLater(f"http_{reply.status}: no vendor answer", retry_after(reply) or UNREADABLE_DELAY_S)
    if answer.errcode:
        return _refused(answer.errcode)
    given = opened(envelope_of(account, secret), answer.data)
    if given is None:
        return TokenRefused(WRONG_KEY, "correct appid and the EncodingAESKey")
    token, life = text_of(given.get("accessToken")), integer(given, "expireIn")
    if token is None or (life is not None and life <= 0):
        return TokenLater("errcode 0 without a usable token", UNREADABLE_DELAY_S)
    return TokenGranted(token, USUAL_LIFE_S if life is None else life)


def _refused(code: int) -> TokenOutcome:
    row = errcodes.find(code)
    if row is None:
        return TokenRefused(f"errcode {code} (not in the catalogue)", "look the code up in the server's manual", code)
    if row.kind in (Class.RETRY, Class.DEFER, Class.TOKEN):
        return TokenLater(f"{code} {row.meaning}", row.delay or UNREADABLE_DELAY_S)
    return TokenRefused(f"{code} {row.meaning}", row.what, code)
