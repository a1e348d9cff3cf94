"""`python -m tools.site` builds the documentation site into build/site."""

from __future__ import annotations

from tools.site.build import build
from tools.site.stage import ROOT


def main() -> None:
    """Both languages, strictly."""
    site = build(ROOT / "build")
    print(f"docs: {len(list(site.rglob('*.html')))} pages in {site.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
