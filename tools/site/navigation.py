"""Where each page of the site stands: the one place that says it, for both languages.

A page is named by its file below docs/; its Chinese text has the same name below docs/zh/. A few
files lie beside docs/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the navigation, and what is below it."""

    en: str
    zh: str
    entries: tuple[str | Section, ...]
    """Files of pages, and further sections, in order."""

    def title(self, language: Language) -> str:
        """Its heading."""
        return self.en if language == "en" else self.zh

    def pages(self) -> Iterator[str]:
        """The files of all pages below it, in order."""
        for entry in self.entries:
            yield from (entry,) if isinstance(entry, str) else entry.pages()


NAVIGATION: tuple[str | Section, ...] = (
    "index.md",
    Section("Tutorial", "入门教程", ("quickstart.md", "first-message.md")),
    Section(
        "How-to guides",
        "操作指南",
        (
            Section(
                "Send",
                "发送消息",
                ("enqueue.md", "ordering.md", "callbacks.md", "testing.md", "simulator.md", "migrate.md"),
            ),
            Section(
                "Recipes",
                "示例应用",
                (
                    "recipes/index.md",
                    "recipes/fastapi.md",
                    "recipes/django.md",
                    "recipes/alembic.md",
                    "recipes/alertmanager.md",
                    "recipes/many-people.md",
                    "recipes/s3.md",
                    "recipes/campaign.md",
                    "recipes/another-vendor.md",
                ),
            ),
            Section(
                "Install and set up",
                "安装与配置",
                ("settings.md", "accounts.md", "deployment.md", "stacks.md", "databases.md", "database-roles.md"),
            ),
            Section(
                "Operate",
                "日常运维",
                ("operations.md", "runbooks.md", "wrong-text.md", "console.md", "monitoring.md", "personal-data.md"),
            ),
        ),
    ),
    Section(
        "Reference",
        "参考",
        (
            Section(
                "Channels",
                "通道",
                ("wecom-app.md", "wecom-webhook.md", "wecom-external.md", "wecom-suite.md", "youdu.md"),
            ),
            "reference/taken.md",
            "limits.md",
            "reference/settings.md",
            "reference/commands.md",
            "reference/errcodes.md",
            "reference/simulator.md",
            Section("Python API", "Python API", ("reference/api.md", "reference/messages.md", "reference/testing.md")),
            "security.md",
            "glossary.md",
        ),
    ),
    Section("Explanation", "原理", ("design.md", "states.md", "guarantees.md", "performance.md")),
    Section(
        "Contributing",
        "参与开发",
        (
            *("contributing.md", "common-changes.md", "names.md", "tests-of-the-pipeline.md", "channels.md"),
            *("reference/way.md", "changelog.md"),
        ),
    ),
)

BESIDE_DOCS: Mapping[str, str] = {
    "first-message.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Pages of the site whose files lie beside docs/. The Chinese text of README.md is README.zh-CN.md, and so on."""


def pages() -> tuple[str, ...]:
    """All pages, in the order of the navigation."""
    return tuple(page for entry in NAVIGATION for page in ((entry,) if isinstance(entry, str) else entry.pages()))
