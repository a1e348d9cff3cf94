"""What libraries read from the environment and from files is known, variable by variable: `surroundings.toml`.

A release of a library that reads one more turns this red; so does a line about what none reads any more.
"""

from __future__ import annotations

import ast
import re
import sqlite3
import ssl
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from psycopg.pq import Conninfo

from worker.config.surroundings import SURROUNDINGS, surprises

LISTS: Mapping[str, Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("surroundings.toml").read_text(encoding="utf-8")
)
PINNED = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8").splitlines()
APART = ("python", "interpreter", "openssl", "libpq", "sqlite")
"""Lists of what is no distribution."""
MODULES = (
    *(
        "asyncio/coroutines.py",
        "getpass.py",
        "gettext.py",
        "netrc.py",
        "os.py",
        "pathlib.py",
        "posixpath.py",
        "shutil.py",
    ),
    *("site.py", "ssl.py", "tempfile.py", "urllib/request.py", "uuid.py", "xml/dom/domreg.py", "xml/sax/__init__.py"),
    *("zoneinfo/_tzpath.py", "locale.py", "socket.py", "logging/__init__.py", "subprocess.py", "webbrowser.py"),
)
"""Those of the standard library that our processes may load and that read the environment."""
MARKS = re.compile(rb"\b(environb?|getenv|expanduser|expandvars|envvar|auto_envvar_prefix|home)\b")
ASKS = ("get", "pop")
OF_OPENSSL = re.compile(
    rb"(?<=\0)(?:OPENSSL_(?:[A-Z]+(?:_[A-Z]+)*|ia32cap)|SSL_CERT_[A-Z]+|CTLOG_FILE|RANDFILE|QLOGDIR|OSSL_QFILTER"
    rb"|[A-Z]+_PROXY|[a-z]+_proxy)(?=\0)"
)
OF_SQLITE = re.compile(rb"(?<=\0)SQLITE_[A-Z_]+(?=\0)")
OF_PYTHON = re.compile(r"^(PYTHON\w+)", re.MULTILINE)


@pytest.mark.parametrize("library", [name for name in LISTS if name not in APART])
def test_what_a_library_reads_by_itself_is_known(library: str) -> None:
    """Each variable and each file of a person's home that its source names; of the pinned version, and no more."""
    files = {str(file): Path(str(file.locate())) for file in metadata.files(library) or ()}
    is_pinned = f"{library}=={metadata.version(library)}" in PINNED

    reads = set(_reads(files))

    assert reads - set(LISTS[library]) == set()
    assert not is_pinned or set(LISTS[library]) - reads == set()


def test_what_the_standard_library_reads_is_known() -> None:
    """Of the modules that our processes load; each version of Python may read less."""
    folder = Path(sysconfig.get_paths()["stdlib"])

    assert set(_reads({name: folder / name for name in MODULES})) - set(LISTS["python"]) == set()


def test_what_the_interpreter_reads_is_known() -> None:
    """As it says itself; each version may have fewer."""
    told = subprocess.run([sys.executable, "--help-env"], capture_output=True, text=True, check=True).stdout

    assert set(OF_PYTHON.findall(told)) - set(LISTS["interpreter"]) == set()


def test_what_openssl_reads_is_known() -> None:
    """The names in its libraries that look like variables; each version may have fewer."""
    assert ssl.OPENSSL_VERSION

    assert _named_in("(ssl|crypto)", OF_OPENSSL) - set(LISTS["openssl"]) == set()


def test_what_sqlite_reads_is_known() -> None:
    """The same of its library, where Python has it as a file of its own."""
    assert sqlite3.sqlite_version

    assert _named_in("sqlite3", OF_SQLITE) - set(LISTS["sqlite"]) == set()


def test_what_libpq_reads_is_known() -> None:
    """As it says itself; each release may have fewer."""
    named = {(option.envvar or b"").decode() for option in Conninfo.get_defaults()} - {""}

    assert named - set(LISTS["libpq"]) == set()


def test_every_line_says_what_is_done() -> None:
    """By one of four words."""
    wrong = [
        value for rows in LISTS.values() for value in rows.values() if not re.match(r"(told|set|out|meant)\b", value)
    ]

    assert wrong == []


def test_what_is_to_be_told_is_told() -> None:
    """Of a variable that is told, `worker doctor` has a sentence; of no other."""
    rows = [(name, value) for listed in LISTS.values() for name, value in listed.items() if re.fullmatch(r"\w+", name)]
    named = {name: value.partition(":")[0] == "told" for name, value in rows if name != "_DEBUG_ENV_VAR"}

    told = {name: bool(list(surprises({name: "1"}))) for name in named}

    assert {name for name, is_told in named.items() if is_told} <= {name for name, is_told in told.items() if is_told}
    quiet = {name for name, is_told in named.items() if not is_told and not name.startswith("CELERY_")}
    assert quiet & {name for name, is_told in told.items() if is_told} == set()


def test_each_sentence_is_of_a_variable_that_something_reads() -> None:
    """What nothing reads is nobody's surprise."""
    names = {name.upper() for rows in LISTS.values() for name in rows} | {
        "ALL_PROXY",
        "CELERY_*",
        "PYDANTIC_SETTINGS_DEBUG",
    }
    of_commands = {name for one in SURROUNDINGS for name in one.names if name.startswith("CELERY_")}

    assert {name for one in SURROUNDINGS for name in one.names} - names - of_commands == set()


def _named_in(libraries: str, pattern: re.Pattern[bytes]) -> set[str]:
    """The names in those of these libraries that this process has loaded."""
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()}
    files = [Path(name) for name in loaded if re.search(rf"/lib{libraries}[^/]*$", name)]
    return {name.decode() for file in files for name in pattern.findall(file.read_bytes())}


def _reads(files: Mapping[str, Path]) -> Iterator[str]:
    """What these sources read: the name of a variable, or the file with the expression that makes the name."""
    for name, path in files.items():
        if name.endswith(".py") and "/test" not in name and MARKS.search(source := path.read_bytes()):
            for read in _reads_of(ast.parse(source)):
                yield _key(name, read)


def _key(file: str, read: str) -> str:
    if re.fullmatch(r"'\w+'", read):
        return read[1:-1]
    return read if re.fullmatch(r"_?[A-Z][A-Z0-9_]+", read) else f"{file} {read}"


def _reads_of(tree: ast.AST) -> Iterator[str]:
    """Every expression of a module that asks for a variable or for a file of the person's home."""
    of_os = {"os.environ", "os.environb"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os" and "environ" in {one.name for one in node.names}:
            of_os.add("environ")
    done: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _reads_of_call(node, of_os, done)
            case ast.Subscript() if _dotted(node.value) in of_os:
                done.add(id(node.value))
                yield from [ast.unparse(node.slice)] if isinstance(node.ctx, ast.Load) else []
            case ast.Compare(comparators=[asked]) if _dotted(asked) in of_os:
                done.add(id(asked))
                yield ast.unparse(node.left)
    whole = (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute) and id(node) not in done)
    yield from ("os.environ" for node in whole if isinstance(node.ctx, ast.Load) and _dotted(node) in of_os)


def _reads_of_call(call: ast.Call, of_os: Iterable[str], done: set[int]) -> Iterator[str]:
    head, _, last = _dotted(call.func).rpartition(".")
    if head in of_os and isinstance(call.func, ast.Attribute):
        done.add(id(call.func.value))
        if last in ASKS:
            yield ast.unparse(call.args[0])
        elif last not in ("update", "setdefault"):
            yield f"environ.{last}"
    elif last in ("getenv", "_int_env", "_float_env") and call.args:
        yield ast.unparse(call.args[0])
    elif last in ("expanduser", "expandvars") or (last == "home" and head.endswith("Path")):
        yield last
    for keyword in call.keywords:
        value = keyword.value
        if keyword.arg in ("envvar", "auto_envvar_prefix") and ast.unparse(value) != "None":
            is_name = keyword.arg == "envvar" and isinstance(value, ast.Constant)
            yield ast.unparse(value) if is_name else f"{keyword.arg}={ast.unparse(value)}"


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of names and attributes; `?` for anything else."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{_dotted(node.value)}.{node.attr}"
    return "?"
