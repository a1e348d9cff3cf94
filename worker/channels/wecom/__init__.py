"""What all WeCom APIs share: gettoken, the shape of answers, the global errcodes, uploads, cards, ids of members."""

from __future__ import annotations

import re

# Page 90313: 1 to 64 of letters, digits, - _ . ; `@` is taken too (userids made from mail addresses).
USERID = re.compile(r"[0-9A-Za-z._@-]{1,64}")
USERID_WANTED = "userids: 1 to 64 of letters, digits, - _ . @"
