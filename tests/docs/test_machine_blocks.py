"""The blocks of docs/deployment.md and of others for machines, each line typed into a real shell.

Programs that need a daemon or a cluster only say what they were asked, which is held against the repository's files;
`install`, `cp`, `systemctl enable`, `worker` are the real ones, in a folder in place of the machine's root.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path

import pytest
import requests
import trustme
import yaml
from helm_python.chart import Chart

from rig.databases import Service, lack
from tests.docs.page import ROOT, Page
from tests.support import deployment
from worker.cli import main
from worker.cli.health import own_host
from worker.config.tracing import ENDPOINTS
from worker.control.audit import CommandResult
from worker.control.cancel import COMMAND
from worker.control.selection import MAX_LISTED
from worker.language import translate
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.processes import HEALTHY, Health, renew_heartbeat

DEPLOYMENT = "docs/deployment.md"
PROGRAMS = Path(sys.executable).parent
SYSTEMD = Service("systemctl", "PATH", "", "apt-get install systemd")
TELLS = '#!/bin/sh\nprintf "%s\\037" "${{0##*/}}" "$@" >> {told}; echo >> {told}\n'
"""A program that writes what it was asked."""
Asked = list[list[str]]
Types = Callable[[str], tuple[int, str]]


def block(page: str, begin: str) -> str:
    """The one block that begins so."""
    (found,) = [one.text for one in Page(page).blocks if one.text.startswith(begin)]
    return found


def plain() -> dict[str, str]:
    """The environment without what tests set."""
    return {name: one for name, one in os.environ.items() if not name.startswith(("WORKER_", "PYTEST_", "COV"))}


class Shell:
    """A shell in the checkout, with programs that only tell."""

    def __init__(self, folder: Path, *telling: str):
        self._told, self._stubs = folder / "told", folder / "stubs"
        self._stubs.mkdir()
        for name in telling:
            self.tells(self._stubs / name)

    def tells(self, program: Path) -> None:
        """Puts a program there that only tells."""
        program.write_text(TELLS.format(told=self._told), encoding="utf-8")
        program.chmod(0o755)

    def types(self, text: str, **environment: str) -> tuple[Asked, str]:
        """What the programs were asked by these lines, each of which has to end well; and what was printed."""
        env = {**plain(), **environment, "PATH": f"{self._stubs}:{PROGRAMS}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-euc", text], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told = self._told.read_text(encoding="utf-8") if self._told.exists() else ""
        return [line.split("\037")[:-1] for line in told.splitlines()], done.stdout


def options(words: list[str], name: str) -> list[str]:
    """The values of an option."""
    return [words[at + 1] for at, word in enumerate(words) if word == name]


# -- containers --------------------------------------------------------------------------------------------------------


def test_the_images_are_built_of_files_there_are(tmp_path: Path) -> None:
    """Three builds: Dockerfile and context are there, arguments are the file's, and compose runs the first tag."""
    shell = Shell(tmp_path, "docker", "make")

    (made, *ours), _ = shell.types(block(DEPLOYMENT, "make install").replace(".venv/bin", str(PROGRAMS)))
    theirs, _ = shell.types(block(DEPLOYMENT, "docker build -t shop-"))

    builds = [words for words in theirs if words[1] == "build"]
    assert made == ["make", "install"], "a demo's environment has no hatchling"
    assert len(builds) == 3
    for words in builds:
        (file,) = options(words, "-f") or [f"{words[-1]}/Dockerfile"]
        known = re.findall(r"^ARG (\w+)", deployment.read(file), re.MULTILINE)
        assert (ROOT / words[-1]).is_dir()
        assert {one.partition("=")[0] for one in options(words, "--build-arg")} <= set(known)
        assert [one for one in options(words, "--build-arg") if one.endswith("=")] == []
    assert f"${{WORKER_IMAGE:-{options(ours[0], '-t')[0]}}}" == deployment.compose_file()["services"]["worker"]["image"]


def test_the_base_that_is_asked_about_is_the_images(tmp_path: Path) -> None:
    """`imagetools inspect` of the tag that the Dockerfile pins."""
    [words], _ = Shell(tmp_path, "docker").types(block(DEPLOYMENT, "docker buildx"))

    assert words[1:4] == ["buildx", "imagetools", "inspect"]
    assert f"\nARG PYTHON={words[4]}@sha256:" in deployment.read("docker/Dockerfile")


def test_compose_is_started_with_files_services_and_profiles_there_are(tmp_path: Path) -> None:
    """Every line: preset and file are there; what is scaled is a service, and each profile starts one."""
    shell, services = Shell(tmp_path, "docker"), deployment.compose_file()["services"]
    profiles = {profile for one in services.values() for profile in one.get("profiles", ())}
    typed = block(DEPLOYMENT, "docker build -t shop-") + block(DEPLOYMENT, "COMPOSE_PROFILES")

    asked, _ = shell.types(typed)

    composed = [words for words in asked if words[1] == "compose"]
    assert [words[6] for words in composed] == ["up", "up", "up"]
    for words in composed:
        files = [*options(words, "--env-file"), *options(words, "-f")]
        assert [(ROOT / name).is_file() for name in files] == [True, True]
        assert {one.partition("=")[0] for one in options(words, "--scale")} <= services.keys()
    (chosen,) = re.findall(r"^COMPOSE_PROFILES=(\S+)", typed, re.MULTILINE)
    assert set(chosen.split(",")) <= profiles


def test_a_release_of_the_chart_has_the_secrets_that_are_made(tmp_path: Path) -> None:
    """The Secret is the one that the chart names, with every key that a pod is given; the chart takes the name."""
    (secret, release), _ = Shell(tmp_path, "kubectl", "helm").types(block(DEPLOYMENT, "kubectl"))
    literals = [word.removeprefix("--from-literal=").partition("=")[0] for word in secret if "literal" in word]
    chart = ROOT / release[3]

    with Chart.load(chart) as loaded:
        loaded.render(values={}, name=release[2], namespace="default")

    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    assert ["create", "secret", "generic", values["secret"]["name"]] == secret[1:5]
    assert sorted({name for one in deployment.kubernetes() for name in one.secrets}) == sorted(literals)
    assert [release[1]] == ["install"]
    assert options(release, "-f") == ["values.yaml"]


# -- systemd -----------------------------------------------------------------------------------------------------------


@pytest.mark.programs
def test_the_units_are_installed_and_enabled(tmp_path: Path) -> None:
    """Folders, a link and files are made in a root, where `systemctl` enables units; each has its file of variables."""
    if shutil.which("systemctl") is None:
        lack(SYSTEMD, "this machine has no systemctl to enable units with")
    root = tmp_path / "root"
    (release,) = re.findall(r"^release=/(\S+)$", block(DEPLOYMENT, "release="), re.MULTILINE)
    (root / release / "bin").mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    shell = Shell(tmp_path, "python3.11", "systemctl")
    shell.tells(root / release / "bin/pip")

    asked, _ = shell.types(re.sub(r"(?<=[ =])/(?=opt|etc)", f"{root}/", block(DEPLOYMENT, "release=")))
    venv, hashed, own, reload, start, enable = [words[1:] for words in asked]
    names = [word for word in enable if word != "--now"]
    subprocess.run(["systemctl", f"--root={root}", *names], check=True, capture_output=True)

    assert ["-m", "venv", f"{root}/{release}"] == venv
    assert Path(f"{root}{deployment.PROGRAMS}").resolve() == root / release / "bin", "what the units start"
    assert (ROOT / hashed[-1]).is_file()
    assert [hashed[:-1], own] == [["install", "--require-hashes", "-r"], ["install", "--no-deps", "."]]
    assert [reload, start] == [["daemon-reload"], ["start", "im-delivery-migrate"]]
    assert (root / "etc/im-delivery-worker/secrets").stat().st_mode & 0o777 == 0o700
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    assert sorted(f"{name}.service" for name in names[1:]) == sorted(one.name for one in wanted.iterdir())
    for unit in (root / "etc/systemd/system").glob("*.service"):
        for file in re.findall(r"^EnvironmentFile=(\S+)$", unit.read_text(encoding="utf-8"), re.MULTILINE):
            for name in ("urgent", "standard", "bulk"):
                assert (root / file.replace("%i", name).lstrip("/")).is_file()


# -- worker health -----------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An outbox, which the command line finds."""
    config = tmp_path / "worker.toml"
    config.write_text(f'database = "{sqlite_url}"\n', encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(config))
    with closing(Database(make_engine(sqlite_url))) as one:
        yield one


def beat(database: Database, health: Health = HEALTHY) -> None:
    """This process's heartbeat, as a worker's."""
    host, pid = own_host(), os.getpid()
    database.run(
        lambda connection: renew_heartbeat(
            connection, database.now, "p", health=health, lease_us=10**8, threads=4, host=host, pid=pid, lanes="{}"
        )
    )


@pytest.fixture
def types(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Types:
    """One `worker` line in this process: its exit status, and what it printed."""

    def types(line: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return types


@pytest.mark.parametrize(("page", "lang"), [("docs/monitoring.md", "en"), ("docs/zh/monitoring.md", "zh")])
def test_health_is_told_as_shown(
    database: Database, types: Types, monkeypatch: pytest.MonkeyPatch, page: str, lang: str
) -> None:
    """Of a healthy process, and of one whose loop is stuck; with this host's name and this process's number."""
    monkeypatch.setenv("WORKER_LANG", lang)
    typed = re.findall(r"^\$ (.*)\n(.*)\n", block(page, "$ worker health"), re.MULTILINE)
    told = []
    stuck = "the background loop relay has been in one turn for 41 s"
    for (line, _), health in zip(typed, (HEALTHY, Health((stuck,))), strict=True):
        beat(database, health)
        told.append(types(line))

    here = f"{own_host()} {os.getpid()}"
    assert [(n, f"{shown.replace('delivery-1 4711', here)}\n") for n, (_, shown) in enumerate(typed)] == told


@pytest.mark.slow_checkout("starts a process of its own")
def test_a_units_process_is_asked_about_by_its_number(database: Database, sqlite_url: str, tmp_path: Path) -> None:
    """The number that systemctl prints; with the settings of the units, which a person's shell does not have."""
    beat(database)
    urls = f"WORKER_DATABASE={sqlite_url}\nWORKER_BROKER=redis://127.0.0.1:1/0\n"
    (tmp_path / "environment").write_text(urls, encoding="utf-8")
    typed = block(DEPLOYMENT, "set -a").replace("/etc/im-delivery-worker/secrets", "SECRETS")
    typed = typed.replace("/etc/im-delivery-worker", str(tmp_path)).replace(deployment.PROGRAMS, f"{PROGRAMS}/")
    password = " WORKER_DATABASE__PASSWORD__FILE=SECRETS/database"
    assert password in typed
    shell = Shell(tmp_path)
    stub = tmp_path / "stubs" / "systemctl"
    stub.write_text(f"#!/bin/sh\necho {os.getpid()}\n", encoding="utf-8")
    stub.chmod(0o755)

    _, said = shell.types(typed.replace(password, ""))  # SQLite has no password

    assert f"healthy: worker {own_host()} {os.getpid()}\n" == said


# -- what prints -------------------------------------------------------------------------------------------------------


PAGES = pytest.mark.parametrize(("page", "lang"), [("docs/operations.md", "en"), ("docs/zh/operations.md", "zh")])


@PAGES
def test_two_releases_side_by_side_are_told_as_shown(
    page: str, lang: str, database: Database, types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `worker db check` of two heartbeats, but for revisions; this checkout stands for the newer release."""
    monkeypatch.setenv("WORKER_LANG", lang)
    shown = block(page, "$ worker db check").partition("\n")[2]
    other, newer = re.findall(r"delivery-\d 4711.*?\b(\d+\.\d+\.\d+)\b", shown)
    release = metadata.version("im-delivery-worker")
    with database.writing() as connection:
        for number, of in ((1, other), (2, release)):
            connection.exec_driver_sql(
                "insert into worker_processes"
                " (id, alive_until, started_at, threads, host, pid, lanes, version, revision)"
                " select ?, 9000000000000000, 0, 8, ?, 4711, '{}', ?, version_num from worker_alembic_version",
                (f"p{number}", f"delivery-{number}", of),
            )

    status, told = types("worker db check")

    shown, told = (re.sub(r"\b\d{4}\b(?![:：])", "N", one) for one in (shown, told))
    assert status == 1
    assert shown.replace(newer, release) == told


@pytest.mark.parametrize(
    ("page", "lang", "begin"), [("docs/operations.md", "en", "cancelled "), ("docs/zh/operations.md", "zh", "已取消 ")]
)
def test_a_cancelled_mailing_is_told_as_shown(
    page: str, lang: str, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, but for the ids that the page leaves out."""
    monkeypatch.setenv("WORKER_LANG", lang)
    shown = block(page, begin)
    jobs, more = re.findall(r"\b(11997|7983)\b", shown)
    [audit] = re.findall(r"\b[0-9a-f]{32}\b", shown)
    accepted, cancelled, sending = (int(one) for one in re.findall(r"^ +(\d+)", shown, re.MULTILINE))
    counts = {"jobs": int(jobs), "accepted": accepted, "cancelled": cancelled, "sending": sending}

    told = COMMAND.lines(CommandResult(audit, Counter(counts), ("01a20533",) * accepted), {})

    assert accepted == int(more) + MAX_LISTED
    assert shown == re.sub(r"(01a20533)( \1)+", r"\1...", translate("\n".join(told))) + "\n"


@contextmanager
def started(line: str, folder: Path, lines: int, **environment: str) -> Iterator[list[str]]:
    """The first lines that a program prints which stays; it ends well on SIGTERM."""
    env = {**plain(), "WORKER_LANG": "en", **environment, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    with subprocess.Popen(
        ["bash", "-c", f"exec {line}"], cwd=folder, env=env, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        try:
            yield [one.stdout.readline() for _ in range(lines)]
        finally:
            one.send_signal(signal.SIGTERM)
            one.communicate(timeout=60)
    assert one.returncode == 0


@pytest.mark.fewer_databases("the lines are the same on all")
@pytest.mark.slow_checkout("starts a process of its own")
@pytest.mark.parametrize(("page", "lang"), [("docs/console.md", "en"), ("docs/zh/console.md", "zh")])
def test_the_console_prints_what_is_shown(page: str, lang: str, tmp_path: Path, sqlite_url: str) -> None:
    """But for the port, which is a free one here, and the link's token."""
    line, shown = block(page, "$ worker console").removeprefix("$ ").split("\n", 1)
    settings = {"WORKER_DATABASE": sqlite_url, "WORKER_CONSOLE__LISTEN": "127.0.0.1:0", "WORKER_LANG": lang}

    with started(line, tmp_path, shown.count("\n"), **settings) as printed:
        told = re.sub(r"token=\S+", "token=...", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8091", "".join(printed)))

    assert shown == told


@pytest.mark.parametrize("line", block("docs/simulator.md", "worker simulator").splitlines())
@pytest.mark.slow_checkout("starts a process of its own")
def test_the_simulator_starts_as_the_page_says(line: str, tmp_path: Path) -> None:
    """On a free port, with a certificate in a file beside its key; it answers there, and ends well."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))

    with started(line.replace("8081", "0"), tmp_path, 1) as [listening], requests.Session() as session:
        session.trust_env, session.verify = False, str(tmp_path / "ca.pem")
        said = session.get(f"{listening.split()[-1]}/cgi-bin/gettoken?corpid=x&corpsecret=y", timeout=60)

    assert said.json()["errcode"] == 0


# -- what a reader's own machine runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", re.findall(r"^\$ (make .*?) +#", block("CONTRIBUTING.md", "$ make install"), re.MULTILINE)
)
def test_make_has_every_target(line: str) -> None:
    """With the variables that the line sets; make tells what it would run, also where make itself runs this test."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["bash", "-c", f"{line} --dry-run"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "" != done.stdout


def test_what_tracing_installs_is_what_it_loads() -> None:
    """The extra of the page is one of this release, and with its distributions the exporter's variable is heard."""
    text = block("docs/monitoring.md", "pip install")
    ((extra,), (variable,)) = re.findall(r"\[(\w+)\]", text), re.findall(r"export (\w+)=", text)
    asked = [one for one in metadata.requires("im-delivery-worker") or () if re.search(rf"extra == .{extra}\W", one)]

    assert [] != asked
    assert [one for one in asked if not metadata.version(re.split(r"[\[<>=~!;\s]", one)[0])] == []
    assert variable in ENDPOINTS
