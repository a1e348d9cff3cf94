"""Sends an answer: at once, cut off, reset, in small pieces, late, or with a signal to a process."""

import asyncio
import socket
import struct
from collections.abc import Callable

from worker_simulator.wire.call_log import LoggedCall
from worker_simulator.wire.faults import FaultAction
from worker_simulator.wire.peers import pid_of_peer, send_signal

# l_onoff 1, l_linger 0: close() sends RST and drops what has not left.
RESET = struct.pack("ii", 1, 0)


class AnswerWriter:
    """Sends one answer, and records in the call how much of it was sent."""

    def __init__(self, transport: asyncio.Transport, call: LoggedCall, data: bytes, done: Callable[[], None]) -> None:
        self._transport = transport
        self._call = call
        self._data = data
        self._done = done
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, action: FaultAction | None) -> None:
        """Sends the answer in the way of the fault action."""
        if action is None:
            self._send_remaining()
            return
        match action.kind:
            case "cut_response_after":
                self._send_until(action.cut_response_after)
                self._transport.close()
            case "reset_response_after":
                self._send_until(action.reset_response_after)
                reset(self._transport)
            case "drip":
                self._drip(action)
            case "kill":
                self._kill(action)
            case _:
                self._send_remaining()

    def stop(self) -> None:
        """Stops sending, because the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def _send_remaining(self) -> None:
        self._send_until(len(self._data))
        self._done()

    def _send_until(self, end: int | None) -> None:
        end = len(self._data) if end is None else min(end, len(self._data))
        if end > self._sent:
            self._transport.write(self._data[self._sent : end])
            self._sent = end
            self._call.answered = "whole" if end == len(self._data) else "partial"

    def _drip(self, action: FaultAction) -> None:
        drip = action.drip
        if drip is None or self._sent + drip.bytes >= len(self._data):
            self._send_remaining()
            return
        self._send_until(self._sent + drip.bytes)
        self._timer = asyncio.get_running_loop().call_later(drip.every_s, self._drip, action)

    def _kill(self, action: FaultAction) -> None:
        if action.kills_late:
            self._send_until(action.at.response_bytes)
            kill(action, self._call, self._transport)
        self._send_remaining()


def kill(action: FaultAction, call: LoggedCall, transport: asyncio.Transport) -> None:
    """Sends the action's signal to its process, or to the process at the other end of the connection."""
    request = call.request
    our_port = transport.get_extra_info("sockname")[1]
    pid = pid_of_peer(request.ip, request.port, our_port) if action.kill == "peer" else action.kill
    was_sent = send_signal(pid if isinstance(pid, int) else None, action.signal)
    call.fault = f"kill {action.signal} {pid if was_sent else 'nobody'}"


def reset(transport: asyncio.Transport) -> None:
    """Closes the connection with RST."""
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
