"""`python -m tools.mutants [--tenth] FILE...`: changes files in one place at a time, and counts what tests notice.

A FILE may be a pattern, such as `worker/domain/*.py`. The tests are those that run inside pytest on SQLite; for each
change, those that enter the changed function. mutmut works on a copy of what is committed, in an environment of its
own. It goes on where it was broken off, until the next commit. A file of three hundred lines takes about half an hour.
`--tenth` tries the fifth change of each function and every tenth after it, always from the start: a score of a folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIES = ROOT / "build" / "mutants"
MUTMUT, TENTH = "mutmut==3.6.0", "--tenth"
LEFT_OUT = (
    *(f"unit/{folder}" for folder in ("cli", "config", "console", "drawing", "service", "simulator")),
    *(f"pipeline/test_{name}.py" for name in ("benches", "enqueue_drivers", "explore", "migrations")),
    "unit/accounts/test_live.py",
    "unit/test_language.py",
)
"""Tests that change the folder, in which mutmut looks for files, look at the stack, or are of no single function."""
APART = "not (postgres or mariadb or process or browser or slow or slow_checkout or programs)"
NOTICED, SURVIVED, NOT_ENTERED, TIMED_OUT = "noticed", "survived", "not entered", "timed out"
_BY_EXIT = {0: SURVIVED, 1: NOTICED, 3: NOTICED, 5: NOT_ENTERED, 33: NOT_ENTERED}
"""pytest's exit statuses and mutmut's own; any other is that of a signal, which ends what takes too long."""


def main(argv: list[str]) -> int:
    """Prints a table with a row for each file, and the sums."""
    names = ["*__mutmut_*5"] if argv[:1] == [TENTH] else []
    files = argv[len(names) :]
    if not files:
        print(__doc__)
        return 2
    copy = _copied()
    (copy / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + _settings(copy, files))
    command = [str(copy / ".venv/bin/mutmut"), "run", "--max-children", str(os.cpu_count() or 1), *names]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    status = subprocess.run(command, cwd=copy, env=environment).returncode
    print("\n".join(lines(copy / "mutants")))
    print(f"`cd {copy.relative_to(ROOT)} && .venv/bin/mutmut results` names them, `mutmut show NAME` shows one")
    return status


def lines(results: Path) -> list[str]:
    """Returns the table of what mutmut has stored."""
    columns, sums, table = (NOTICED, SURVIVED, TIMED_OUT, NOT_ENTERED), Counter[str](), list[str]()
    for path in sorted(results.rglob("*.py.meta")):
        exits = json.loads(path.read_text())["exit_code_by_key"].values()
        counts = Counter(_BY_EXIT.get(one, TIMED_OUT) for one in exits if one is not None)
        if counts:
            sums += counts
            name = str(path.relative_to(results)).removesuffix(".meta")
            table.append(f"| {name} | {' | '.join(str(counts[one]) for one in columns)} |")
    head = [f"| file | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    noticed, entered = sums[NOTICED] + sums[TIMED_OUT], sums.total() - sums[NOT_ENTERED]
    return [*head, *table, f"{noticed} of {entered} changes noticed, {100 * noticed / max(entered, 1):.1f}%"]


def _copied() -> Path:
    """Returns a copy of what is committed, with mutmut installed: that of an earlier run, if there is one."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    copy = COPIES / commit.strip()[:12]
    if not copy.exists():
        shutil.rmtree(COPIES, ignore_errors=True)
        copy.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=copy, input=archive, check=True)
        subprocess.run(["make", "install"], cwd=copy, check=True)
        subprocess.run([copy / ".venv/bin/python", "-m", "pip", "install", "--quiet", MUTMUT], check=True)
        # It reads an attribute that pytest has renamed.
        [main] = copy.glob(".venv/lib/python*/site-packages/mutmut/__main__.py")
        main.write_text(main.read_text().replace("item._nodeid", "item.nodeid"))
    return copy


def _settings(copy: Path, files: list[str]) -> str:
    own = ("worker", "mutants")
    beside = sorted(path.name for path in copy.iterdir() if path.name[0] != "." and path.name not in own)
    ignored = [f"--ignore=tests/{path}" for path in LEFT_OUT]
    settings = {
        "source_paths": ["worker"],
        "only_mutate": files,
        "also_copy": beside,
        "pytest_add_cli_args": ["-m", APART, "-p", "no:cacheprovider", "-q", *ignored],
        "pytest_add_cli_args_test_selection": ["tests/unit", "tests/channels", "tests/pipeline"],
    }
    return "\n[tool.mutmut]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
