"""The server's errmsg without anything of ours in it.

Its words are not documented and it lists users, so only words that are known to be the server's stay.
"""

from __future__ import annotations

import re

from worker.domain.call import clean

MASK = "***"
MAX_REASON = 200
_RUN = re.compile(r"[^\s,;:()\[\]'\"|.]+")
_MASKS = re.compile(r"\*\*\*(?:[\s,;:()\[\]'\"|.]*\*\*\*)+")

VOCABULARY = frozenset(
    """
    a access accesstoken an and any api app appid bad base64 be body buin busy by call can cannot content data decrypt
    decode denied dept deptid does email empty encrypt error exceed exceeds exist exists expired fail failed failure
    field file forbidden format found from has have id illegal in int integer internal invalid is it json key length
    limit list long many max media mediaid media_id member message miss missing msg msgtype must no not null of ok
    operation or out over param parameter parse permission please request required resource right server success
    system text the this to todept toemail token too touser type unknown unsupported user userid users wrong
    """.split()  # noqa: SIM905 - a table of words reads better as text
)


def reason(errmsg: str) -> str:
    """The errmsg with the server's known words alone; a run of anything else becomes one mask."""
    words = _RUN.sub(lambda found: found[0] if found[0].lower() in VOCABULARY else MASK, errmsg[: 4 * MAX_REASON])
    return clean(_MASKS.sub(MASK, words).strip(), MAX_REASON)
