"""Finds the local process at the other end of a connection, and sends it a signal (Linux)."""

import ipaddress
import os
import re
import signal
from pathlib import Path

PROC = Path("/proc")
ATTEMPTS = 10
"""How often to look for a connection or its process before giving up."""
NO_OWNER = "0"
"""The inode of a connection that no process has open any more."""


def send_signal(pid: int | None, name: str) -> bool:
    """Sends SIG`name`. Returns False if there is no such process."""
    if pid is None:
        return False
    try:
        os.kill(pid, signal.Signals[f"SIG{name}"])
    except ProcessLookupError:
        return False
    return True


def pid_of_peer(ip: str, port: int, our_port: int) -> int | None:
    """Returns the process that owns the local socket `ip`:`port` connected to our port, or None if none is visible."""
    # The kernel hands a long table out in pieces and may pass over a line while others come and go.
    owners = (_owner(_inode(ip, port, our_port)) for _ in range(ATTEMPTS))
    return next((pid for pid in owners if pid is not None), None)


def _owner(inode: str | None) -> int | None:
    """Returns the first process that has a socket open."""
    if inode in (None, NO_OWNER):
        return None
    link = f"socket:[{inode}]"
    return next(
        (int(process.name) for process in PROC.iterdir() if process.name.isdigit() and _has_open(process, link)), None
    )


def _inode(ip: str, port: int, our_port: int) -> str | None:
    """Returns the inode of a connection from /proc/net/tcp.

    Columns 1 and 2 are the two ends in hex, column 9 is the inode.

    A port can have several connections, one to each other end. Closed ones stay in the table for a minute.
    """
    address = ipaddress.ip_address(ip)
    table = PROC / "net" / ("tcp" if address.version == 4 else "tcp6")
    # The table can have tens of thousands of lines. Searching it as one text avoids half a second for splitting it.
    row = re.search(rf" {_hex(address)}:{port:04X} [0-9A-F]+:{our_port:04X} .*", table.read_text(encoding="ascii"))
    return row[0].split()[8] if row else None


def _hex(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Returns an address as the kernel prints it: 32-bit words in host order."""
    packed = address.packed
    words = (packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    return b"".join(words).hex().upper()


def _has_open(process: Path, link: str) -> bool:
    try:
        return any(_points_to(path) == link for path in (process / "fd").iterdir())
    except OSError:  # it has ended, or belongs to another user
        return False


def _points_to(path: Path) -> str:
    """Returns the target of a link, or an empty text if the file was closed since the folder was read."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
