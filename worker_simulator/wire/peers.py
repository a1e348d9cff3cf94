"""Which local process holds the other end of a connection, and a signal for it (Linux).

Does not know why it is signalled.
"""

import ipaddress
import os
import re
import signal
from pathlib import Path

PROC = Path("/proc")
LOOKS = 10
"""How often a connection or its process is looked for that is not there at first sight."""
OVER = "0"
"""The inode of a connection that no process holds any more."""


def send_signal(pid: int | None, name: str) -> bool:
    """Send SIG`name`; whether there was a process to send it to."""
    if pid is None:
        return False
    try:
        os.kill(pid, signal.Signals[f"SIG{name}"])
    except ProcessLookupError:
        return False
    return True


def pid_of_peer(ip: str, port: int, our_port: int) -> int | None:
    """The process that owns the local socket `ip`:`port` connected to a port of ours, if one can be seen."""
    # The kernel hands a long table out in pieces and may pass over a line while others come and go.
    owners = (_owner(_inode(ip, port, our_port)) for _ in range(LOOKS))
    return next((pid for pid in owners if pid is not None), None)


def _owner(inode: str | None) -> int | None:
    """The first process that holds a socket."""
    if inode in (None, OVER):
        return None
    wanted = f"socket:[{inode}]"
    return next(
        (int(process.name) for process in PROC.iterdir() if process.name.isdigit() and _holds(process, wanted)), None
    )


def _inode(ip: str, port: int, our_port: int) -> str | None:
    """The inode of a connection, by /proc/net/tcp: columns 1 and 2 are the two ends in hex, column 9 is the inode.

    A port belongs to several connections at once, one for each other end, and those that are over stay for a minute.
    """
    address = ipaddress.ip_address(ip)
    table = PROC / "net" / ("tcp" if address.version == 4 else "tcp6")
    # Tens of thousands of lines are searched as one text: to split them takes half a second.
    row = re.search(rf" {_hex(address)}:{port:04X} [0-9A-F]+:{our_port:04X} .*", table.read_text(encoding="ascii"))
    return row[0].split()[8] if row else None


def _hex(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as the kernel prints it: words of 32 bits in host order."""
    packed = address.packed
    words = (packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    return b"".join(words).hex().upper()


def _holds(process: Path, wanted: str) -> bool:
    try:
        return any(_points_to(link) == wanted for link in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or not ours to look into
        return False


def _points_to(link: Path) -> str:
    """Where a link leads; empty for a file that was closed since its folder was read, as a busy process does often."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
