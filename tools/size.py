"""`python -m tools.size [CHECKOUT]`: how large the project is, as a Markdown table of counts.

Files and words are read from the checkout (this one, unless another is named); the program is imported from where it is
run, to see where one connection goes.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import create_engine

ROOT = Path(__file__).parents[1]
FOLDERS = ("worker", "worker_simulator", "tests", "bench", "rig", "tools", "migrations")


def main(argv: list[str]) -> int:
    """Prints the table."""
    root = Path(argv[0]) if argv else ROOT
    print("| what | count |\n|---|---|")
    for what, count in [*python(root), *interface(root), *documents(root)]:
        print(f"| {what} | {count} |")
    if root == ROOT:
        print(f"| where `connection` goes from `enqueue` on | {connection_stays()} |")
    return 0


def python(root: Path) -> Iterator[tuple[str, str]]:
    """Lines, files and classes of each folder."""
    for folder in FOLDERS:
        texts = [path.read_text(encoding="utf-8") for path in sorted((root / folder).rglob("*.py"))]
        if not texts:
            continue
        nodes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        plain = sum("dataclass" in ast.unparse(decorator) for node in nodes for decorator in node.decorator_list)
        lines = sum(text.count("\n") for text in texts)
        yield f"`{folder}/`", f"{lines:,} lines, {len(texts)} files, {len(nodes)} classes, {plain} dataclasses"


def interface(root: Path) -> Iterator[tuple[str, str]]:
    """What a person can say to the program, out of the pages that are written from it."""
    commands = re.findall(r"^## `worker .+`$", _page(root, "reference/commands.md"), re.MULTILINE)
    yield "commands", str(len(commands))
    settings = re.findall(r"`<br>`(WORKER_\w+)`", _page(root, "reference/settings.md"))
    yield "settings", str(len(set(settings)))
    yield "keywords of `enqueue`", str(len(set(_keywords(root))))
    entered = re.findall(r"^\| `worker/", _page(root, "reference/way.md"), re.MULTILINE)
    yield "files a text enters from `enqueue` to its receipt", str(len(entered))


def _keywords(root: Path) -> Iterator[str]:
    folder = root / "worker" / "producer"
    for node in ast.walk(ast.parse((folder / "enqueue.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "enqueue":
            yield from (argument.arg for argument in node.args.kwonlyargs)
    for node in ast.walk(ast.parse((folder / "options.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name in ("JobOptions", "MessageOptions"):
            yield from (item.target.id for item in node.body if isinstance(item, ast.AnnAssign))  # type: ignore[union-attr]


def documents(root: Path) -> Iterator[tuple[str, str]]:
    """Pages and English words that people write."""
    pages = [path for path in (root / "docs").rglob("*.md") if not {"zh", "reference"} & set(path.parts)]
    words = sum(len(path.read_text(encoding="utf-8").split()) for path in pages)
    yield "English documents", f"{words:,} words, {len(pages)} pages"
    yield "`CHANGELOG.md`", f"{(root / 'CHANGELOG.md').stat().st_size:,} bytes"


def _page(root: Path, name: str) -> str:
    return (root / "docs" / name).read_text(encoding="utf-8")


def connection_stays() -> str:
    """Functions of the worker that one `enqueue` hands its connection to, their files, and its names there."""
    import worker
    from worker.config.accounts import FixedAccounts
    from worker.domain.account import Account
    from worker.outbox.engine.migrate import upgrade

    engine = create_engine("sqlite://")
    upgrade(engine)
    accounts = FixedAccounts([Account("hr", "wecom_app", "https://vendor.example", {"corpid": "ww1", "agentid": 1})])
    stays: set[tuple[str, str]] = set()
    names: set[str] = set()
    with engine.connect() as connection:

        def see(frame: FrameType, event: str, _: Any) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(str(ROOT / "worker")):
                given = [name for name, value in frame.f_locals.items() if value is connection]
                stays.update({(code.co_filename, code.co_qualname)} if given else ())
                names.update(given)

        sys.setprofile(see)
        message, to = worker.Text(content="x"), worker.To("zhang")
        worker.enqueue(connection, "hr", message, to, dedupe_key="a", order_key="b", tags=["c"], accounts=accounts)
        sys.setprofile(None)
    return f"{len(stays)} functions, {len({file for file, _ in stays})} files, {len(names)} names"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
