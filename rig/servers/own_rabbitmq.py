"""A RabbitMQ node of a test's own: it may be restarted and driven into its memory alarm."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.databases import Service
from rig.servers import own_server
from rig.stack import until

PROGRAMS = Service("RabbitMQ's server programs", "PATH", "", "apt-get install rabbitmq-server")
USER = "rabbitmq"


@dataclass(frozen=True)
class RabbitMQ:
    """A running node."""

    node: str
    port: int
    process: own_server.Process
    env: Mapping[str, str]

    @property
    def url(self) -> str:
        """Its first virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def restart(self) -> None:
        """Cuts every connection; queues are durable, our messages are not."""
        self.process.end()
        self.process.start()

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Memory is short: whoever publishes is blocked until it is over."""
        self._set_watermark("0.00001")
        try:
            yield
        finally:
            self._set_watermark("0.4")

    def trace(self) -> None:
        """Copies of everything go to the exchange amq.rabbitmq.trace."""
        self._control("trace_on")

    def untaken_and_taken(self, queue: str) -> tuple[int, int]:
        """Messages that lie in a queue, and those that consumers have and did not acknowledge."""
        said = self._control(
            "list_queues", "-q", "--no-table-headers", "name", "messages_ready", "messages_unacknowledged"
        )
        found = {name: (int(ready), int(taken)) for name, ready, taken in map(str.split, said.splitlines())}
        return found.get(queue, (0, 0))

    def user_without_queues(self) -> str:
        """The URL of a user who may do anything but touch our queues."""
        name = f"u{secrets.token_hex(4)}"
        self._control("add_user", name, "secret")
        others = "^(?!.*worker[.]).*$"
        self._control("set_permissions", name, others, others, others)
        return f"amqp://{name}:secret@127.0.0.1:{self.port}//"

    def types(self, prefix: str) -> dict[str, str]:
        """Queues by name and type."""
        rows = self._control("list_queues", "-q", "--no-table-headers", "name", "type").splitlines()
        return dict(row.split() for row in rows if row.startswith(prefix + "worker."))

    def exchanges(self) -> list[str]:
        """Their names."""
        return self._control("list_exchanges", "-q", "--no-table-headers", "name").splitlines()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The node hangs, while its machine still takes bytes for it."""
        beam = int(Path(self.env["RABBITMQ_PID_FILE"]).read_text(encoding="ascii"))
        os.kill(beam, signal.SIGSTOP)
        try:
            until(lambda: _stands_still(beam), "every thread of the node stands still")
            yield
        finally:
            os.kill(beam, signal.SIGCONT)

    def _set_watermark(self, share: str) -> None:
        self._control("set_vm_memory_high_watermark", share)

    def _control(self, *words: str) -> str:
        return own_server.run(USER, str(_programs() / "rabbitmqctl"), "-n", self.node, *words, env=self.env)


def _stands_still(process: int) -> bool:
    """A signal that stops a process reaches its threads one after the other."""
    tasks = Path(f"/proc/{process}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


@contextmanager
def running() -> Iterator[RabbitMQ]:
    """A fresh node on free ports; gone at the end."""
    own_server.need(PROGRAMS, found=found())
    port, node = own_server.free_port(), f"worker-{secrets.token_hex(4)}@localhost"
    with own_server.folder("rabbitmq", USER) as folder:
        env = _environment(folder, node, port)
        command = (str(_programs() / "rabbitmq-server"),)
        process = own_server.Process(USER, command, folder / "out", lambda: own_server.listens(port), env)
        process.start()
        try:
            yield RabbitMQ(node, port, process, env)
        finally:
            process.end()


def found() -> bool:
    """Whether this machine has the programs, and a user who may run them."""
    return own_server.can_be(USER) and (_programs() / "rabbitmq-server").exists()


def _programs() -> Path:
    # Not the wrappers of the packages: those work for one node only.
    server = own_server.program("rabbitmq-server", usual=[Path("/usr/lib/rabbitmq/bin")])
    return (server or Path("/nowhere/none")).parent


def _environment(folder: Path, node: str, port: int) -> dict[str, str]:
    """Nothing of the machine's own node: name, ports, folders, cookie, plugins."""
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n", encoding="utf-8")
    (folder / "empty").touch()
    (folder / ".erlang.cookie").write_text(secrets.token_hex(16), encoding="utf-8")
    (folder / ".erlang.cookie").chmod(0o400)
    if os.geteuid() == 0:
        shutil.chown(folder / ".erlang.cookie", USER)
        shutil.chown(folder / "empty", USER)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(own_server.free_port()),
        # Its schedulers sleep where they have nothing to do: by default they first look for work for a while.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        "RABBITMQ_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "empty"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "empty"),
    }
