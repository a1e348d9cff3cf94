"""A reader of a page: types its commands into one shell, and compares what each prints with what stands under it."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rig.stack import until

CHANGES = (
    (r"\b[0-9a-f]{32}\b", "JOB"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", "INSTANT"),
    (r"(receipt |回执 )[\w-]{64}", r"\1MSGID"),
    (r"\b\d+ ms", "N ms"),
    (r"\bin \d+\.\d\ds\b", "in N s"),
    (r"(tables at revision |表结构版本 )\d{4}", r"\1N"),
)
"""What differs between runs and machines: ids, instants, durations; and the newest revision, which grows."""
_ID = re.compile(r"\b[0-9a-f]{32}\b")
_PROBLEM = re.compile(r"^(problem|问题) ", flags=re.MULTILINE)
"""A finding of `worker doctor`, with which its exit status is 1."""
_DONE = "-- exit status "
_END_ALL = f'for job in $(jobs -rp); do kill $job; wait $job; echo "{_DONE.strip()}: $?"; done'


@contextmanager
def reader(folder: Path, programs: Path, ports: Mapping[str, str], language: str = "en") -> Iterator[Reader]:
    """A reader in a folder, with other ports than the page's; processes that are left running must end well."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "PYTEST_", "COV"))}
    env = {**outer, "LC_ALL": "C.UTF-8", "WORKER_LANG": language, "PATH": f"{programs}:{outer['PATH']}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(["bash"], cwd=folder, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as shell:
        one = Reader(folder, shell, ports)
        try:
            yield one
        finally:
            statuses = re.findall(r"status: (\d+)$", one.run(_END_ALL)[1], flags=re.MULTILINE)
    assert {"0"} >= set(statuses)


class Reader:
    """Types commands into a shell, and writes files of the page."""

    def __init__(self, folder: Path, shell: subprocess.Popen[bytes], ports: Mapping[str, str]):
        self._folder, self._shell, self._ports = folder, shell, ports
        self._ids: dict[str, str] = {}
        self._beside = 0

    def write(self, name: str, text: str) -> None:
        """Writes a file, with our ports."""
        (self._folder / name).write_text(self._moved(text), encoding="utf-8")

    def read(self, console: str) -> None:
        """Types the commands of a block, each until it has printed what is shown: a person is slower than a worker."""
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, flags=re.MULTILINE):
            self._type(_ID.sub(lambda found: self._ids.get(found[0], found[0]), self._moved(command)), shown)

    def run(self, command: str) -> tuple[int, str]:
        """Runs a command in the shell; its exit status, and what it printed."""
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{{ {command}\n}} < /dev/null; printf '\\n{_DONE}%s\\n' $?\n".encode())
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            if line.startswith(_DONE.encode()):
                return int(line.removeprefix(_DONE.encode())), printed.rstrip("\n") + "\n"
            printed += line.decode()
        raise AssertionError(f"`{command}` ended the shell:\n{printed}")

    def _type(self, command: str, shown: str) -> None:
        status, printed = 0, ""
        look = self._start(command) if command.endswith("&") else lambda: self.run(command)

        def is_as_shown() -> bool:
            nonlocal status, printed
            status, printed = look()
            self._move_files()
            assert shown or status == 0, printed
            return status == bool(_PROBLEM.search(shown)) and _same(self._moved(shown), self._moved(printed))

        told = f"`{command}` prints\n{shown}"
        until(is_as_shown, told, told=lambda: f"but, with status {status},\n{printed}")
        if command.startswith("kill "):
            self.run("wait")  # it returns before what it ends has ended
        self._ids.update(zip(_ID.findall(shown), _ID.findall(printed), strict=False))

    def _start(self, command: str) -> Callable[[], tuple[int, str]]:
        """Starts a command beside the others; what it has printed so far."""
        self._beside += 1
        out = self._folder / f"beside-{self._beside}"
        out.touch()
        self.run(f"{{ exec {command.removesuffix('&')}; }} > {out} 2>&1 &")
        return lambda: (0, out.read_text(encoding="utf-8"))

    def _move_files(self) -> None:
        """What a command wrote names our ports, too."""
        for file in (*self._folder.glob("*.toml"), *self._folder.glob("*.json")):
            text = file.read_text(encoding="utf-8")
            if self._moved(text) != text:
                self.write(file.name, text)

    def _moved(self, text: str) -> str:
        """The text with our ports in place of the page's."""
        for theirs, ours in self._ports.items():
            text = re.sub(rf"(:|port ){theirs}\b", rf"\g<1>{ours}", text)
        return text


def _same(shown: str, printed: str) -> bool:
    """Whether this was printed, whatever stands in place of `...`; nothing shown: anything."""
    for pattern, instead in CHANGES:
        shown, printed = re.sub(pattern, instead, shown), re.sub(pattern, instead, printed)
    return not shown or doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)
