"""The process at the other end of a connection is found, whatever else it opens and closes meanwhile."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from worker_simulator.wire import peers


def test_the_other_end_is_found() -> None:
    """Here it is this very process."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert os.getpid() == peers.pid_of_peer(*client.getsockname(), server.getsockname()[1])
        assert None is peers.pid_of_peer(*client.getsockname(), 1), "the same port may be connected to others"


def test_neither_another_connection_of_the_port_nor_a_closed_file_hides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port's connection to somebody else is over but still listed; the link of a closed file cannot be read."""
    monkeypatch.setattr(peers, "PROC", tmp_path)
    (tmp_path / "net").mkdir()
    elsewhere = "0: 0100007F:1F90 0100007F:0051 06 0:0 0:0 0 0 0 0"
    row = "1: 0100007F:1F90 0100007F:0050 01 0:0 0:0 0 0 0 4711"
    (tmp_path / "net" / "tcp").write_text(f"header\n{elsewhere}\n{row}\n", encoding="ascii")
    open_files = tmp_path / "123" / "fd"
    open_files.mkdir(parents=True)
    for number in range(5):
        (open_files / str(number)).touch()  # no link: to read it fails, as with one that is gone
    (open_files / "5").symlink_to("socket:[4711]")

    assert peers.pid_of_peer("127.0.0.1", 0x1F90, 0x50) == 123


def test_a_line_that_a_reading_passed_over_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's table changes while it is read, and a reading may lack a connection that stands."""
    read, without = Path.read_text, ["header\n", "header\n"]

    def passing_over(path: Path, *args: Any, **options: Any) -> str:
        return without.pop() if without and path.parent.name == "net" else read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", passing_over)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert os.getpid() == peers.pid_of_peer(*client.getsockname(), server.getsockname()[1])
    assert not without


def test_a_process_that_was_passed_over_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of a socket was not found once on a busy machine; the connection stood."""
    holds, missed = peers._has_open, list[str]()

    def passing_over(process: Path, wanted: str) -> bool:
        found = holds(process, wanted)
        if found and not missed:
            missed.append(process.name)
            return False
        return found

    monkeypatch.setattr(peers, "_has_open", passing_over)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert os.getpid() == peers.pid_of_peer(*client.getsockname(), server.getsockname()[1])
    assert [str(os.getpid())] == missed
