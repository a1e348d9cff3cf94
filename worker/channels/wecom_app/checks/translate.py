"""Id translation (转译, page 90236): `$userName=USERID$` becomes a name where `enable_id_trans` is 1."""

from __future__ import annotations

import re

# userName, userAlias, userAliasOrName, departmentName; with chat-archive permission chatName, msgContent,
# externalUserName. Any word is guarded, so that a name the vendor adds is too.
PATTERN = re.compile(r"\$(?=[A-Za-z]+=[^$\r\n]+\$)")
INVISIBLE = "\u200b"


def escape_ids(text: str) -> str:
    """Text of other people made safe for a message with `enable_id_trans=1`.

    The vendor publishes no escape; what it cannot resolve stays as typed. So an invisible space (U+200B, 3 bytes) is
    put behind the `$` of everything that looks like `$userName=..$`, which then is no pattern and looks the same.
    """
    return PATTERN.sub(f"${INVISIBLE}", text)


def has_ids(text: str) -> bool:
    """Whether something in the text would be translated, or stay as typed with `enable_id_trans` = 0."""
    return PATTERN.search(text) is not None
