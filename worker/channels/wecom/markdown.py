"""The marks that WeCom's clients do not know in a markdown, and show as they are typed.

Page 90236 (markdown消息) lists headings, bold, links, code within a line, quotations and three colours; page 99110
(markdown_v2类型) also lists, tables, pictures, rules and fenced code, and no tags.
"""

from __future__ import annotations

import re

from worker.channels.checking.row import AsTyped

_TAGS = "a|b|br|center|code|del|div|em|h[1-6]|hr|i|img|ins|li|mark|ol|p|pre|s|span|strong|sub|sup|table|td|th|tr|u|ul"
_HEADING = AsTyped(re.compile(r"^ {0,3}#{1,6}[^#\s]", re.MULTILINE), "a # without a blank behind it")
_TAG = AsTyped(re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE), "a tag of HTML")

MARKDOWN = (
    AsTyped(
        re.compile(r"<font\b(?!\s+color\s*=\s*[\"']?(?:info|comment|warning)[\"']?\s*>)[^<>]*>", re.IGNORECASE),
        "a <font> of another colour than info, comment and warning",
    ),
    _HEADING,
    _TAG,
    AsTyped(re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE), "code over several lines", is_code=True),
    AsTyped(re.compile(r"`[^`\n]*\n[^`]*`"), "code over several lines"),
    AsTyped(re.compile(r"^ *(?:\| *)?:?-{3,}:? *\|", re.MULTILINE), "a table"),
    AsTyped(re.compile(r"!\[[^\[\]\n]*\]\("), "a picture"),
)
"""Of markdown, in an application's messages and a webhook's."""
MARKDOWN_V2 = (_HEADING, _TAG)
"""Of a webhook's markdown_v2, which has no <font> either: that is refused."""
