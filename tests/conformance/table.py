"""docs/conformance.md: which promise and which state every channel is held to, and what it leaves out and why."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType

from tests.conformance import test_promises, test_states
from tests.conformance.cases import CASES
from tests.conformance.exceptions import EXCEPTIONS

HEAD = """# What every channel is held to

One suite (`tests/conformance`) asks every channel for every promise and every state, with the channel's own simulated
vendor over HTTP. A channel leaves a test out only for a reason of its vendor's; those are all in the last table.
This page is made by `python -m tests.conformance.table > docs/conformance.md` and held by a test.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, *_tests("Promises", test_promises), "", *_tests("States", test_states), "", *_left_out(), ""]
    )


def tests_of(module: ModuleType) -> dict[str, str]:
    """Test name -> the first line of what it says, in the order of the file."""
    found = {name: one for name, one in vars(module).items() if name.startswith("test_") and inspect.isfunction(one)}
    return {name: (inspect.getdoc(one) or "").splitlines()[0] for name, one in found.items()}


def _tests(title: str, module: ModuleType) -> Iterator[str]:
    left_out = {(row.channel, row.test) for row in EXCEPTIONS}
    channels = [case.channel for case in CASES]
    yield f"## {title}\n"
    yield "| test | what it holds | " + " | ".join(f"`{channel}`" for channel in channels) + " |"
    yield "|---" * (2 + len(channels)) + "|"
    for name, said in tests_of(module).items():
        marks = ["left out" if (channel, name) in left_out else "held" for channel in channels]
        yield f"| `{name.removeprefix('test_')}` | {said} | " + " | ".join(marks) + " |"


def _left_out() -> Iterator[str]:
    yield "## Left out\n"
    yield "| channel | test | the vendor's reason |"
    yield "|---|---|---|"
    for row in EXCEPTIONS:
        yield f"| `{row.channel}` | `{row.test.removeprefix('test_')}` | {row.reason} |"


if __name__ == "__main__":
    print(page(), end="")
