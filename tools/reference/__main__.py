"""`python -m tools.reference` writes the reference pages of docs/, in both languages."""

from __future__ import annotations

import sys

from tools.reference.pages import PAGES, made, place_of
from tools.reference.text import Voice
from tools.site.navigation import LANGUAGES


def main() -> None:
    """All pages; it fails where a text has no Chinese, and names each."""
    missing = dict[str, None]()
    for name in PAGES:
        for language in LANGUAGES:
            say = Voice(language)
            path = place_of(name, language)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made(name, say), encoding="utf-8")
            missing |= dict.fromkeys(say.missing)
    if missing:
        sys.exit("reference: no Chinese for these; add it to tools/reference/zh\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
