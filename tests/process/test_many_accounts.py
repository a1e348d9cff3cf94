"""Many accounts in one installation, some of them broken: each stops by itself, says why, and comes back when mended.

`ACCOUNTS=200 pytest tests/process/test_many_accounts.py` does it with so many accounts; one in ten is broken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from rig.stack import ROOT, Stack, until
from rig.stacks import Make, on_every_stack
from worker import FixedAccounts, NewJob, Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.domain.account import Account

ACCOUNTS = int(os.environ.get("ACCOUNTS", "100"))
EACH = 3
WAYS = {
    "a key that there is not": ("agentid", "agent_id", "is not a setting of wecom_app"),
    "a value of the wrong kind": ("agentid = ", 'agentid = "x"  # ', "agentid: is missing or not an integer"),
    "a secret that cannot be read": ("/secret", "/nowhere", "which cannot be read; check the path"),
    "a variable that is not set": ('{ file = "FOLDER/secret" }', '{ env = "NOTHING" }', "which is empty or not there"),
    "a secret that is written out": ('{ file = "FOLDER/secret" }', '"hunter2"', "settings only name the place"),
    "no such channel": ("wecom_app", "wecom_ap", "channel 'wecom_ap' does not exist"),
    "half a callback table": ("callback = true", 'callback = { token = { env = "HOME" } }', "aes_key: is missing"),
    "a secret that the vendor refuses": ("/secret", "/wrong", "40001"),
    "a proxy that is not there": ('base_url = "', 'proxy = "http://127.0.0.1:9"\nbase_url = "', "proxy_refused"),
    "disabled": ("callback = true", "callback = true\ndisabled = true", "is disabled"),
}
"""What is wrong: what of a table is replaced, by what, and what is said of it."""
ONLY_BY_CALLS = ("a secret that the vendor refuses", "a proxy that is not there")
"""What nobody knows before the account is used."""


def table(n: int, *, broken: bool) -> str:
    """An account's table; of ten, the last is broken, in another way each time."""
    lines = (
        f'[accounts.a{n}]\nchannel = "wecom_app"\ncorpid = "ww{n}"\nagentid = {n + 1}\ncallback = true\n'
        'secret = { file = "FOLDER/secret" }\nbase_url = "http://127.0.0.1:PORT"\n'
    )
    if broken and (way := way_of(n)) is not None:
        old, new, _ = WAYS[way]
        assert old in lines
        return lines.replace(old, new)
    return lines


def way_of(n: int) -> str | None:
    """What is wrong with an account; None: nothing."""
    return list(WAYS)[n // 10 % len(WAYS)] if n % 10 == 9 else None


BROKEN = {n: way for n in range(ACCOUNTS) if (way := way_of(n)) is not None}


@on_every_stack()
def test_broken_accounts_stop_by_themselves_and_come_back(make: Make) -> None:
    """All others deliver; `doctor` names each broken one with what to change; mended in the file alone, all is sent."""
    stack = make(account="".join(table(n, broken=True) for n in range(ACCOUNTS)), env={"NOTHING": ""})
    (stack.folder / "wrong").write_text("wrong", encoding="utf-8")
    broken = stack.config.read_text(encoding="utf-8")
    mended = broken
    for n in BROKEN:
        mended = mended.replace(filled(stack, table(n, broken=True)), filled(stack, table(n, broken=False)))
    enqueue_for_all(stack, mended)
    workers = [stack.worker(threads=8) for _ in range(make.workers(2))]

    good = (ACCOUNTS - len(BROKEN)) * EACH
    until(lambda: accepted(stack) == good, "all others deliver", progress=lambda: accepted(stack))
    assert good == len(stack.vendor.inbox())
    until(lambda: not missing(stack), "doctor names each broken account", told=lambda: str(missing(stack)))
    assert [None] * len(workers) == [worker.poll() for worker in workers]
    stack.config.with_suffix(".new").write_text(mended, encoding="utf-8")
    stack.config.with_suffix(".new").replace(stack.config)
    until(lambda: accepted(stack) == ACCOUNTS * EACH, "mended ones go on", progress=lambda: accepted(stack))

    assert {1} == {len(messages) for messages in stack.vendor.inbox().values()}
    assert ACCOUNTS * EACH == len(stack.vendor.inbox())
    assert [0] * len(workers) == [stack.end(worker) for worker in workers]
    assert "hunter2" not in stack.logs()


def filled(stack: Stack, lines: str) -> str:
    """A table as it stands in the file."""
    return lines.replace("FOLDER", str(stack.folder)).replace("PORT", stack.vendor.url.rpartition(":")[2])


def enqueue_for_all(stack: Stack, settings: str) -> None:
    """Some messages of each account, by an application whose settings are right."""
    file = stack.folder / "producer.toml"
    file.write_text(settings, encoding="utf-8")
    accounts = accounts_of_file(file)
    jobs = [
        NewJob(f"a{n}", Text(content="hello"), To(users=[f"u{n}-{k}"])) for n in range(ACCOUNTS) for k in range(EACH)
    ]
    with stack.database.writing() as connection:
        enqueue_many(connection, jobs, accounts=accounts)


def accounts_of_file(file: Path) -> FixedAccounts:
    """The accounts of a settings file."""
    from worker import load_settings

    live = accounts_of(load_settings(file))
    found: list[Account] = [live.get(name) for name in live.names()]
    return FixedAccounts(found)


def accepted(stack: Stack) -> int:
    """How many jobs were delivered."""
    return stack.number("select count(*) from worker_jobs where state = 2")


def missing(stack: Stack) -> list[str]:
    """What `worker doctor` does not say yet of the broken accounts."""
    environment = {**os.environ, "WORKER_CONFIG": str(stack.config)}
    command = [sys.executable, "-W", "ignore", "-m", "worker.cli", "doctor", "--json"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "hunter2" not in told.stdout + told.stderr
    problems = [one for one in json.loads(told.stdout) if one["level"] == "problem"]
    said = Counter({one["what"]: 0 for one in problems})
    texts = {what: " ".join(one["text"] for one in problems if one["what"] == what) for what in said}
    return [f"a{n}: {way}" for n, way in BROKEN.items() if WAYS[way][2] not in texts.get(f"account a{n}", "")]
