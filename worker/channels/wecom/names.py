"""The names that WeCom accepts: of members, and of files as members see them."""

from __future__ import annotations

import re

# Page 90313: 1 to 64 of letters, digits, - _ . ; `@` is taken too (userids made from mail addresses).
# One that begins with it is how people write a mention, and no member's.
USERID = re.compile(r"(?!@)[0-9A-Za-z._@-]{1,64}")
USERID_WANTED = "userids: 1 to 64 of letters, digits, - _ . @, not beginning with @"

DROPPED = dict.fromkeys([*range(0x20), 0x7F, *map(ord, '"\\/:')])
"""What breaks the multipart header or is forbidden in names. The rest stays raw UTF-8, as the vendor requires."""


def display_name(name: str) -> str:
    """Returns the name of a file as members will see it."""
    return name.translate(DROPPED).strip()
