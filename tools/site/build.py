"""Builds the site: English at its root, Chinese in `zh/`, each with a search of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from tools.site.navigation import LANGUAGES, NAVIGATION, Language, Section
from tools.site.stage import ROOT, lay

NAMES: Mapping[Language, tuple[str, str]] = {
    "en": ("Delivery worker", "A queue-backed delivery worker for WeCom and Youdu"),
    "zh": ("消息投递服务", "面向企业微信与有度的消息投递服务"),
}
"""The site's name, and what it is about."""

SEARCH = {
    '"aria-label":"Close search"': '"aria-label":"关闭搜索"',
    '"aria-label":"Search"': '"aria-label":"搜索"',
    '"aria-label":"Search results"': '"aria-label":"搜索结果"',
    'placeholder:"Search"': 'placeholder:"搜索"',
    '"No results"': '"没有结果"',
    '"Loading search\\u2026"': '"正在加载……"',
    '"Search is unavailable. Reload the page to try again."': '"搜索不可用，请刷新页面再试。"',
    '${i===1?"result":"results"}': "条结果",
}
"""The theme's script says these in English whatever the language is; its other texts come from a table."""


def build(root: Path) -> Path:
    """Both languages, strictly, below `root`; returns the site's folder. Exits where a page has a fault."""
    for language in LANGUAGES:
        lay(language, root / "pages" / language)
        config = root / f"{language}.toml"
        config.write_text(tomlkit.dumps({"project": settings(language)}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            sys.exit(f"docs: the {language} site has faults")
    _speak_chinese(root / "site" / "zh")
    return root / "site"


def _speak_chinese(site: Path) -> None:
    """Puts the search's Chinese into the theme's script; exits where a release of the theme says something else."""
    (script,) = (site / "assets" / "javascripts").glob("bundle.*.js")
    text = script.read_text(encoding="utf-8")
    if gone := [english for english in SEARCH if english not in text]:
        sys.exit(f"docs: the theme's search no longer says {gone}")
    for english, chinese in SEARCH.items():
        text = text.replace(english, chinese)
    script.write_text(text, encoding="utf-8")


def settings(language: Language) -> dict[str, Any]:
    """Of Zensical, for one language."""
    name, description = NAMES[language]
    english, chinese = ("./", "zh/") if language == "en" else ("../", "./")
    return {
        "site_name": name,
        "site_description": description,
        "docs_dir": f"pages/{language}",
        "site_dir": "site" if language == "en" else "site/zh",
        "nav": [_entry(entry, language) for entry in NAVIGATION],
        "extra_css": ["site.css"],
        "extra_javascript": ["site.js"],
        "extra": {
            "generator": False,
            "alternate": [
                {"name": "English", "link": english, "lang": "en"},
                {"name": "中文", "link": chinese, "lang": "zh"},
            ],
        },
        "theme": {
            "language": language,
            "font": False,  # those of the reader's system: nothing is fetched
            "custom_dir": str(ROOT / "tools" / "site" / "theme"),
            "features": [
                "content.code.copy",
                "navigation.footer",
                "navigation.indexes",
                "navigation.tabs",
                "navigation.top",
                "search.highlight",
            ],
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
            ],
        },
        "markdown_extensions": {
            "admonition": {},
            "attr_list": {},
            "md_in_html": {},
            "tables": {},
            "toc": {"permalink": True, "slugify": {"object": "pymdownx.slugs.slugify", "kwds": {"case": "lower"}}},
            "pymdownx.highlight": {"pygments_lang_class": True},
            "pymdownx.superfences": {},
        },
    }


def _entry(entry: str | Section, language: Language) -> Any:
    if isinstance(entry, str):
        return entry
    return {entry.title(language): [_entry(below, language) for below in entry.entries]}
