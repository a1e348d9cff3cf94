"""`worker limits` and `worker doctor`: what they say, and their exit status."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from worker.cli.health import own_host
from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Finding, Level
from worker.config.settings import Settings, load_settings
from worker.delivery.sender.fault_reports import FaultReports
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock
from worker.language import translate
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.processes import acquire_lease, renew_heartbeat
from worker.reporting.problem_kinds import KINDS
from worker.reporting.problems import OpenProblem

Typed = Callable[..., tuple[int, str]]
HR = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\nsecret = { env = "HR_SECRET" }\n'


@pytest.fixture
def config(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker.toml with one account, whose secret is there."""
    path = tmp_path / "worker.toml"
    path.write_text(f'database = "{sqlite_url}"\n{HR}', encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(path))
    monkeypatch.setenv("HR_SECRET", "canary-secret")
    return path


YOUDU = """
[accounts.oa]
channel = "youdu"
base_url = "http://127.0.0.1:7080"
buin = 1
appid = "a1"
secret = { env = "HR_SECRET" }
"""
AES_KEY = "a" * 43


def parked(config: Path, *lanes: str, parks: bool = True) -> None:
    """These wait for a person, until somebody resumes them or for a while."""
    database = Database(make_engine(load_settings(config).database_url()))
    blocks = [LaneBlock(lane, "hr", 600.0, "60020 not trusted", "add the IP", parked=parks) for lane in lanes]
    database.run(lambda connection: change_lanes(connection, database.now, blocks))
    database.close()


def alive(config: Path, host: str = "h", pid: int = 1) -> None:
    """A worker has just beaten, and leads."""
    database = Database(make_engine(load_settings(config).database_url()))
    beat = {"lease_us": 60_000_000, "threads": 1, "host": host, "pid": pid, "lanes": "{}"}
    database.run(lambda connection: renew_heartbeat(connection, database.now, "p1", **beat))
    database.run(lambda connection: acquire_lease(connection, database.now, "relay", "p1", 60_000_000))
    database.close()


def add(config: Path, text: str) -> None:
    config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_limits_are_listed_with_amount_use_and_page(typed: Typed) -> None:
    """For people."""
    status, printed = typed("limits", "--account", "hr")

    assert status == 0
    line = next(line for line in printed.splitlines() if "member_minute" in line)
    assert "30 person-times in 60 s" in line
    assert "--recipient" in line
    assert "page 90236" in line
    assert "silent drop" in line
    assert "off" in next(line for line in printed.splitlines() if "app_day" in line)


def test_the_limits_of_an_address_are_kept_once_the_account_names_it(typed: Typed, config: Path) -> None:
    """Without it nobody knows whose calls they count, so they are not listed."""
    without = typed("limits")[1].splitlines()
    add(config, 'ip = "203.0.113.7"\n')
    with_ip = typed("limits")[1].splitlines()

    assert [line for line in without if " ip_minute " in line] == []
    assert "used 0, room 20000" in next(line for line in with_ip if " ip_minute " in line)


def test_limits_are_data(typed: Typed, config: Path) -> None:
    """For scripts; with the account's share, and one member's own limits when he is named."""
    add(config, "limit_share = 0.5\n")

    status, printed = typed("limits", "--recipient", "lisi", "--json")

    [minute] = [row for row in json.loads(printed)["hr"] if row["name"] == "member_minute"]
    assert status == 0
    assert minute["amount"] == 15
    assert minute["window_s"] == 60
    assert minute["used"] == 0
    assert minute["room"] == 15
    assert minute["of"] == "member lisi"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("limit_share = 0", "greater than 0"),
        ("limit_share = 1.5", "less than or equal to 1"),
        ("limit_share = { member_minut = 0.5 }", "accounts.hr.limit_share.member_minut: is no limit of wecom_app"),
        ("limits = { member_minut = 5 }", "accounts.hr.limits.member_minut: is no limit of wecom_app"),
        ("limits = { debug_minute = 9 }", "accounts.hr.limits.debug_minute: is no limit of wecom_app"),
        ("ip = 5", "accounts.hr.ip: is not a text"),
    ],
)
def test_a_wrong_share_or_limit_is_one_sentence(typed: Typed, config: Path, line: str, words: str) -> None:
    """With what is right; and beside other accounts it is only told of."""
    add(config, f"{line}\n")

    status, printed = typed("limits", "--account", "hr")

    assert status == 2
    assert len(printed.splitlines()) == 1
    assert words in printed
    add(config, '[accounts.ops]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 8\n')
    status, printed = typed("limits")
    assert status == 0
    assert "account ops (wecom_app)" in printed
    assert "account hr cannot be used: accounts.hr." in printed


def test_an_account_that_does_not_exist_is_one_sentence(typed: Typed) -> None:
    """With those that do."""
    status, printed = typed("limits", "--account", "it")

    assert status == 2
    assert "use one of: hr" in printed


def test_a_healthy_installation_has_no_problem(typed: Typed) -> None:
    """What is merely left out is said, and costs nothing."""
    status, printed = typed("doctor")

    assert status == 0
    assert printed.splitlines()[-1] == "problems 0, cautions 4, ok 6"
    assert "account_cap, estimates.party, estimates.tag, estimates.chat not set: the corp's daily limit" in printed
    assert "200 times account_cap" in printed
    assert printed.count("caution ") == 4  # with callback, members and workers
    assert "callback is not set: no hook runs when a card is pressed" in printed
    assert "caution  members: members_of is not set, so the members of departments, tags" in printed
    assert "ok       database: reachable, tables at revision" in printed
    assert "ok       clock: the database's clock is" in printed
    assert "ok       broker: embedded" in printed


def test_problems_come_first_and_what_to_do_last(typed: Typed, config: Path) -> None:
    """Then cautions, then what is ok; --quiet leaves these out, and counts them all the same."""
    parked(config, "hr")

    status, printed = typed("doctor")
    _, quiet = typed("doctor", "--quiet")
    _, data = typed("doctor", "--quiet", "--json")

    *lines, counts, then, command = printed.splitlines()
    levels = [line.split()[0] for line in lines]
    assert status == 1
    assert levels == sorted(levels, key=["problem", "caution", "ok"].index)
    assert (counts, then, command) == ("problems 1, cautions 4, ok 6", "next:", "  worker resume hr")
    assert [lines[0], counts, then, command] == quiet.splitlines()
    assert [one["level"] for one in json.loads(data)] == ["problem"]


def test_what_is_mended_elsewhere_is_looked_at_again(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is no command's to set."""
    monkeypatch.delenv("HR_SECRET")

    assert typed("doctor")[1].endswith("\nnext, when that is fixed:\n  worker doctor --quiet\n")


@pytest.mark.parametrize("kind", {kind.command: name for name, kind in KINDS.items()}.values())
def test_the_command_of_each_problem_answers(typed: Typed, config: Path, kind: str) -> None:
    """With the account that it is about, as it is printed; each command once."""
    parked(config, "hr")
    alive(config, host=own_host(), pid=os.getpid())
    command = OpenProblem(kind, "hr" if KINDS[kind].about == "account" else "").command

    status, printed = typed(*command.split()[1:])

    assert status in (0, 1), printed


def test_targets_of_alerts_are_tried_as_far_as_that_goes_without_a_call(
    typed: Typed, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that is not there, one that needs recipients, a URL that is none; then all are right."""
    lines = ('{ account = "nope" }', '{ account = "hr" }', '{ url = { env = "PAGER_URL" } }')
    before = config.read_text(encoding="utf-8")
    add(config, f"[notify]\nto = [{', '.join(lines)}]\n")
    monkeypatch.setenv("PAGER_URL", "canary")
    wrong = typed("doctor")
    config.write_text(before, encoding="utf-8")
    add(config, f"[notify]\nto = [{{ account = 'hr', recipients = ['zhangsan'] }}, {lines[2]}]\n")
    monkeypatch.setenv("PAGER_URL", "https://pager.corp/hook?key=canary")
    right = typed("doctor")

    assert wrong[0] == 1
    assert right[0] == 0
    assert "problem  notify: notify.to.0.account: account 'nope' does not exist" in wrong[1]
    assert "problem  notify: notify.to.1: touser: " in wrong[1]
    assert "problem  notify: notify.to.2.url names PAGER_URL, whose value is not a web address" in wrong[1]
    assert "ok       notify: alerts can be sent to 2 targets" in right[1]
    assert "canary" not in wrong[1] + right[1]


@pytest.mark.postgres
def test_settings_a_pooler_keeps_away_are_named(
    typed: Typed, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what its role should bring; elsewhere the worker sets them itself."""
    monkeypatch.setenv("WORKER_DATABASE", postgres_url)
    direct = typed("doctor")
    monkeypatch.setattr("worker.outbox.engine.postgresql.is_pooled", lambda connection: True)

    status, printed = typed("doctor")

    assert direct[0] == 0
    assert status == 0
    assert "through a pooler" not in direct[1]
    assert "run `alter role ROLE set enable_seqscan = off` and `alter role ROLE set jit = off`" in printed


def test_what_an_error_of_ours_set_aside_is_a_caution(typed: Typed, sqlite_url: str) -> None:
    """With the command that says what it was; a day later it is not told any more unless it goes on."""
    typed("db", "upgrade")
    database = Database(make_engine(sqlite_url))
    job = "a" * 32
    FaultReports(database).report("send in doubt", "error in this program: KeyError", account="hr", part=f"{job}-0")
    FaultReports(database).report("housekeeping", "error in this program: KeyError")
    fresh = typed("doctor")
    with database.writing() as connection:
        connection.exec_driver_sql("update worker_lane_events set id = '000' || substr(id, 4)")

    status, printed = typed("doctor")
    database.close()

    assert fresh[0] == 0
    assert status == 0
    told = "1 thing could not be handled in the last day because of errors of this program; error in this program: "
    assert f"caution  account hr: {told}KeyError; seen at part {job}-0 of job {job} first; `worker" in fresh[1]
    assert f"caution  installation: {told}KeyError; `worker" in fresh[1]
    assert "; `worker lanes --history` names part and error" in fresh[1]
    assert "errors of this program" not in printed


def test_what_people_are_told_of_is_said_here_too(typed: Typed, sqlite_url: str) -> None:
    """One list of problems: a vendor that is ill and events whose hooks failed are cautions."""
    typed("db", "upgrade")
    database = Database(make_engine(sqlite_url))
    ill = [LaneBlock("hr:b", "send text", 0.0, "-1", failed=True)] * 5
    event = event_row(f"{1:032x}", EventKind.CARD_ACTION, 1, state=EventState.PARKED)
    database.run(lambda connection: change_lanes(connection, database.now, ill))
    database.run(lambda connection: insert_rows(connection, tables.events, [event]))
    database.close()

    status, printed = typed("doctor")

    assert status == 0
    assert "caution  account hr: the last calls failed, so only one at a time is tried: " in printed
    assert "caution  hooks: Hooks failed, and their events stay parked; `worker hooks --state parked`" in printed


def test_what_the_vendor_refused_lately_is_a_caution_until_its_lanes_are_open(typed: Typed, sqlite_url: str) -> None:
    """45009, and a vendor that answers -1: each with its count, and the command that says where; then it is history."""
    typed("db", "upgrade")
    database = Database(make_engine(sqlite_url))
    struck = LaneBlock("hr:a", "send text", 60.0, "45009", penalty=Penalty.FREQUENCY)
    ill = [LaneBlock("hr:b", "send text", 0.0, "-1", failed=True)] * 5
    database.run(lambda connection: change_lanes(connection, database.now, [struck, *ill]))
    lately = typed("doctor")
    with database.writing() as connection:
        connection.exec_driver_sql("delete from worker_lanes")
    over = typed("doctor")
    with database.writing() as connection:
        connection.exec_driver_sql("update worker_lane_events set id = '000' || substr(id, 4)")

    _, printed = typed("doctor")
    database.close()

    assert "caution  vendor: calls refused in the last day because a limit was exceeded (45009): 1" in lately[1]
    assert (
        "caution  vendor: circuit breakers opened in the last day because the vendor answered -1 or not at all: 1"
        in lately[1]
    )
    assert "caution  vendor" not in over[1]
    assert "ok       vendor: calls refused in the last day" in over[1]
    assert "vendor: " not in printed


def test_what_is_all_set_is_not_spoken_of(typed: Typed, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cautions are left."""
    add(
        config,
        "account_cap = 50\nestimates = { party = 9, tag = 9, chat = 9 }\n"
        'callback = { token = { env = "HR_SECRET" }, aes_key = { env = "AES_KEY" } }\n',
    )
    monkeypatch.setenv("AES_KEY", AES_KEY)
    monkeypatch.setenv("WORKER_MEMBERS_OF", "os.path:join")
    monkeypatch.setenv("WORKER_HOOKS", "shophooks")
    monkeypatch.syspath_prepend(config.parent)
    (config.parent / "shophooks.py").write_text(
        "from worker import on_card_action\n\n@on_card_action\ndef pressed(action, session): ...\n", encoding="utf-8"
    )
    alive(config)

    status, printed = typed("doctor", "--json")

    assert status == 0
    assert {one["level"] for one in json.loads(printed)} == {"ok"}


def written(config: Path, name: str, content: bytes) -> Path:
    """A file beside the settings."""
    path = config.parent / name
    path.write_bytes(content)
    return path


def client_certificate(config: Path, leaf: trustme.LeafCert, key: trustme.Blob, more: str = "") -> str:
    """The line of the settings that names a certificate and a key."""
    certificate = written(config, "hr.pem", leaf.cert_chain_pems[0].bytes())
    key_file = written(config, "hr.key", key.bytes())
    return f'client_certificate = {{ certificate = "{certificate}", key = "{key_file}"{more} }}\n'


def wrong_files(config: Path, how: str) -> str:
    """The line of the settings that names files which are wrong in one way."""
    over = datetime.now(UTC) - timedelta(days=1)
    leaf, other = (trustme.CA().issue_cert("hr@example.com") for _ in range(2))
    match how:
        case "ca":
            return 'ca = "/nowhere/ca.pem"\n'
        case "no authority":
            return f'ca = "{written(config, "ca.pem", b"canary")}"\n'
        case "certificate's password":
            return client_certificate(config, leaf, leaf.private_key_pem, ', password = { env = "NO_PASSWORD_SET" }')
        case "another's key":
            return client_certificate(config, leaf, other.private_key_pem)
        case "openssl's own form":
            line = client_certificate(config, leaf, leaf.private_key_pem)
            trusted = leaf.cert_chain_pems[0].bytes().replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-")
            written(config, "hr.pem", trusted)
            return line
    old = trustme.CA().issue_cert("hr@example.com", not_before=over - timedelta(days=9), not_after=over)
    return client_certificate(config, old, old.private_key_pem)


@pytest.fixture
def broken(typed: Typed, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[Any]]]:
    """The problems that are found after something was broken; the exit status is 1."""

    def find(how: str) -> list[Any]:
        match how:
            case "secret":
                monkeypatch.delenv("HR_SECRET")
            case "no secret":
                config.write_text(config.read_text().replace('secret = { env = "HR_SECRET" }\n', ""))
            case "account":
                config.write_text(config.read_text().replace('corpid = "ww1"\n', ""))
            case "aes_key":
                add(config, 'callback = { token = { env = "HR_SECRET" }, aes_key = { env = "HR_SECRET" } }\n')
            case "Youdu's key":
                add(config, YOUDU)
            case "hooks":
                monkeypatch.setenv("WORKER_HOOKS", "nowhere.hooks")
            case "no hook":
                monkeypatch.setenv("WORKER_HOOKS", "os.path")
            case "provider":
                config.write_text(config.read_text().replace('secret = { env = "HR_SECRET" }\n', ""))
                add(config, 'token_provider = "os.path:token_of"\n')
            case "bearer":
                add(config, 'token_provider = { url = "https://tokens.corp/hr", bearer = { env = "NO_BEARER" } }\n')
            case "provider and suite":
                add(config, 'token_provider = "os.path:join"\nsuite = "ours"\n')
            case "suite":
                add(config, 'suite = "ours"\n')
            case "suite that is none":
                text = 'suite = "ours"\n[accounts.ours]\nchannel = "wecom_external"\ncorpid = "ww1"\n'
                add(config, text + 'secret = { env = "HR_SECRET" }\n')
            case "parked":
                parked(config, "hr")
            case "database":
                monkeypatch.setenv("WORKER_DATABASE", "sqlite:////nowhere/outbox.db")
            case "full disk":
                url = load_settings(config).database_url()
                with closing(Database(make_engine(url))) as database, database.writing() as connection:
                    full = "select raise(fail, 'database or disk is full')"
                    connection.exec_driver_sql(f"create trigger full before insert on worker_counts begin {full}; end")
            case "no file":
                monkeypatch.setenv("WORKER_DATABASE", f"sqlite:///{config.parent}/empty.db")
            case "tables":
                monkeypatch.setenv("WORKER_DATABASE", f"sqlite:///{config.parent}/empty.db")
                (config.parent / "empty.db").touch()
            case "database's place":
                monkeypatch.setenv("WORKER_DATABASE__FILE", "nowhere/url")
            case "broker's place":
                monkeypatch.setenv("WORKER_BROKER__FILE", "nowhere/url")
            case "proxy's place":
                add(config, 'proxy = { env = "NO_PROXY_SET" }\n')
            case "ca" | "no authority" | "certificate's password" | "another's key" | "certificate is over":
                add(config, wrong_files(config, how))
            case "openssl's own form":
                add(config, wrong_files(config, how))
            case "broker":
                monkeypatch.setenv("WORKER_BROKER", "redis://user:canary-password@127.0.0.1:1/0")
            case "resolver":
                monkeypatch.setenv("WORKER_MEMBERS_OF", "os.path:members_of")
            case "resolver's module":
                monkeypatch.setenv("WORKER_MEMBERS_OF", "nowhere.people:members_of")
            case "resolver's name":
                monkeypatch.setenv("WORKER_MEMBERS_OF", "os.path")
            case "settings":
                add(config, "nonsense")
        status, printed = typed("doctor", "--json")
        assert status == 1
        assert "canary" not in printed
        return [one for one in json.loads(printed) if one["level"] == "problem"]

    return find


@pytest.mark.parametrize(
    ("how", "what", "words"),
    [
        ("secret", "account hr", "environment variable HR_SECRET"),
        ("no secret", "account hr", "secret is not set"),
        ("account", "account hr", "accounts.hr.corpid"),
        ("aes_key", "account hr", "accounts.hr.callback.aes_key: the EncodingAESKey must have exactly 43"),
        ("Youdu's key", "account oa", "accounts.oa.secret is not one, the EncodingAESKey must be 44 characters"),
        ("hooks", "hooks", "module nowhere.hooks cannot be imported: there is no module nowhere"),
        ("no hook", "hooks", "module os.path holds no hook; mark functions with @on_card_action"),
        ("provider", "account hr", "token_provider: module os.path has no function token_of"),
        ("bearer", "account hr", "accounts.hr.token_provider.bearer names environment variable NO_BEARER, which is"),
        ("provider and suite", "account hr", "accounts.hr.token_provider: its token comes through a suite; leave one"),
        ("suite", "account hr", "'ours'"),
        ("suite that is none", "account hr", "account 'ours' keeps no codes of corps; name the account of a suite"),
        ("parked", "account hr", "); add the IP; then `worker resume hr`, or wait for the next probe"),
        ("database", "database", "cannot be opened"),
        ("full disk", "database", "takes no writes: the database's disk is full; make room there"),
        ("no file", "database", "there is no file"),
        ("tables", "database", "its tables are at revision none, this release needs"),
        ("database's place", "database", "names file nowhere/url, which cannot be read"),
        ("broker's place", "broker", "broker names file nowhere/url, which cannot be read"),
        ("proxy's place", "account hr", "accounts.hr.proxy names environment variable NO_PROXY_SET, which is empty"),
        ("ca", "account hr", "accounts.hr.ca names file /nowhere/ca.pem, which cannot be read (No such file or"),
        ("no authority", "account hr", "ca.pem, which holds no certificate; name a PEM file of the authorities"),
        ("certificate's password", "account hr", "accounts.hr.client_certificate.password names environment variable"),
        ("another's key", "account hr", "hr.key does not belong; put the two of one pair there"),
        ("openssl's own form", "account hr", "hr.pem -out NEW.pem"),
        ("certificate is over", "account hr", "hr.pem has expired; replace the file"),
        ("broker", "broker", "does not answer"),
        ("resolver", "members", "module os.path has no function members_of"),
        ("resolver's module", "members", "module nowhere.people cannot be imported: there is no module nowhere"),
        ("resolver's name", "settings", "members_of"),
        ("settings", "settings", "not valid TOML"),
    ],
)
def test_each_problem_is_found_and_named(broken: Callable[[str], list[Any]], how: str, what: str, words: str) -> None:
    """One problem, one sentence, no secret."""
    [problem] = broken(how)

    assert what == problem["what"]
    assert words in problem["text"]
    assert not problem["text"].startswith(f"{what}:")


def test_secrets_that_only_the_receiver_has_are_a_caution(typed: Typed, config: Path) -> None:
    """A worker's container is not given them, and its own checks end well."""
    assert typed("db", "upgrade")[0] == 0
    add(config, 'callback = { token = { env = "NONE" }, aes_key = { file = "/nowhere/aes" } }\n')

    status, printed = typed("doctor")

    assert status == 0
    assert "caution  account hr: accounts.hr.callback.token names environment variable NONE, which is" in printed
    assert "cannot be read; check the path and its rights; only `worker receiver` needs it\n" in printed
    assert "ok       account hr" not in printed


def test_the_files_of_an_account_are_read(typed: Typed, config: Path) -> None:
    """Authorities, certificate and key are right; that the certificate ends soon is a caution."""
    assert typed("db", "upgrade")[0] == 0
    soon = datetime.now(UTC) + timedelta(days=13)
    authority = trustme.CA()
    add(config, f'ca = "{written(config, "ca.pem", authority.cert_pem.bytes())}"\n')
    leaf = authority.issue_cert("hr@example.com", not_before=soon - timedelta(days=99), not_after=soon)
    add(config, client_certificate(config, leaf, leaf.private_key_pem))

    status, printed = typed("doctor")

    assert status == 0
    assert "ok       account hr: usable, all secrets can be read (1)\n" in printed
    assert "/hr.pem expires within two weeks; replace the file\n" in printed


def test_what_stands_still_without_being_broken_is_a_caution(typed: Typed, config: Path) -> None:
    """A parked lane costs its own parts only; a fresh installation has no worker yet."""
    parked(config, "hr:1", "hr:2")

    status, printed = typed("doctor")

    assert status == 0
    assert "caution  account hr: 2 of its lanes are parked; `worker lanes` says why and what to do\n" in printed
    assert "caution  workers: no worker process is alive, so all jobs wait; start `worker up` or" in printed


def test_an_account_that_waits_for_a_person_is_a_caution(typed: Typed, config: Path) -> None:
    """It is not parked: what is missing may come at any moment."""
    parked(config, "hr", parks=False)

    status, printed = typed("doctor")

    assert status == 0
    assert "caution  account hr: waits: 60020 not trusted; add the IP\n" in printed


@pytest.mark.parametrize("channel", ["wecom_app", "wecom_external"])
@pytest.mark.parametrize(
    "without_secret",
    [
        'token_provider = "tests.support.provided:token_of"',
        'token_provider = { url = "https://tokens.corp/hr", bearer = { env = "HR_SECRET" } }',
        'suite = "ours"',
        'suite = "ours"\nis_customized_app = true',
    ],
)
def test_an_account_with_tokens_from_elsewhere_needs_no_secret(
    typed: Typed, config: Path, without_secret: str, channel: str
) -> None:
    """Neither with a provider of tokens, nor with a code that the suite's callbacks bring."""
    text = config.read_text().replace('secret = { env = "HR_SECRET" }', without_secret)
    text = text.replace("wecom_app", channel)
    suite = (
        '[accounts.ours]\nchannel = "wecom_suite"\nsuite_id = "ww1"\nsecret = { env = "HR_SECRET" }\n'
        'callback = { token = { env = "HR_SECRET" }, aes_key = { file = "aes" } }\n'
    )
    (config.parent / "aes").write_text(AES_KEY)
    config.write_text(text + suite.replace('"aes"', f'"{config.parent}/aes"'), encoding="utf-8")
    typed("db", "upgrade")

    status, printed = typed("doctor")

    assert status == 0
    assert printed.count(": usable, ") == 2


def test_without_an_account_there_is_a_hint(config: Path) -> None:
    """Nothing is wrong; nothing can be sent either."""
    found = list(findings(lambda: Settings(database=load_settings().database_url())))

    text = f"none is configured; add [accounts.NAME] to {config}, or run `worker accounts add NAME`"
    assert Finding("accounts", Level.CAUTION, text) in found


@pytest.mark.parametrize(("off_s", "level", "where"), [(0, Level.OK, ""), (60, Level.CAUTION, "behind")])
def test_a_clock_that_is_off_is_said(config: Path, off_s: float, level: Level, where: str) -> None:
    """By how much and which way."""
    [clock] = [one for one in findings(wall_clock=lambda: time.time() + off_s) if one.what == "clock"]

    assert level is clock.level
    assert where in clock.text


def test_a_switch_of_staging_is_told(config: Path, typed: Typed) -> None:
    """By `doctor`, and by `why` of a job that it keeps from people; without anybody's name."""
    add(config, 'staging = { only = ["canary-person"] }\n')
    assert typed("db", "upgrade")[0] == 0
    status, doctor = typed("doctor")
    assert status == 0
    assert "caution  account hr: staging is on here (only 1 recipient)" in doctor
    _, job = typed("send", "hr", "--text", "x", "--to", "lisi")
    status, why = typed("why", job.strip())
    assert status == 0
    assert "  staging is on here (only 1 recipient)" in why
    _, told = typed("why", job.strip(), "--json")
    assert json.loads(told)["staging"] == "only 1 recipient"
    assert "canary-person" not in doctor + why + told


@pytest.mark.parametrize("refused", ["AccessRefused", "NotAllowed", "AuthenticationError"])
def test_a_broker_that_refuses_the_login_is_not_said_to_be_away(
    config: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """By RabbitMQ's and Redis's own errors; the broker answers, so what to correct is in its URL."""
    monkeypatch.setenv("WORKER_BROKER", "amqp://guest:wrong@h")
    monkeypatch.setattr("worker.service.broker.connection_error", lambda url: refused)

    [broker] = [one for one in findings() if one.what == "broker"]

    said = f"refuses the user, its password or its vhost ({refused}); correct them in `broker`"
    assert (Level.PROBLEM, said) == (broker.level, broker.text)


@pytest.mark.parametrize(
    ("url", "level", "text"),
    [
        ("amqp://guest:guest@127.0.0.1", Level.OK, "可以访问"),
        (
            "redis://redis/0",
            Level.CAUTION,
            "没有使用 TLS，传输内容可能在途中被读取；消息中间件支持时请写 rediss:// 或 amqps://",
        ),
        ("amqps://a//;amqps://b//", Level.OK, "TLS：已验证证书和主机名"),
    ],
)
def test_what_is_verified_of_a_broker_is_told_in_chinese(
    config: Path, monkeypatch: pytest.MonkeyPatch, url: str, level: Level, text: str
) -> None:
    """Like every other finding; on this machine nobody is on the way."""
    monkeypatch.setenv("WORKER_BROKER", url)
    monkeypatch.setattr("worker.service.broker.connection_error", lambda url: None)

    [broker] = [one for one in findings() if one.what == "broker"]

    assert level == broker.level
    assert text == translate(broker.text, "zh")


def test_a_file_of_tls_that_is_not_there_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own error would be one of a broker that is away."""
    monkeypatch.setenv("WORKER_BROKER", "rediss://redis/0?ssl_ca_certs=/nowhere/ca.pem")

    [broker] = [one for one in findings() if one.what == "broker"]

    assert broker.text == "ssl_ca_certs names file /nowhere/ca.pem, which cannot be read; correct it or its rights"
