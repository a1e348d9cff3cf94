"""The vendors, faked over real HTTP, with faults at any byte and a clock that can be moved.

Does not know the worker: it imports nothing of ours (only `worker.crypto` would be allowed).
"""

from worker.simulator.server import running, serve
from worker.simulator.settings import SimulatorSettings

__all__ = ["SimulatorSettings", "running", "serve"]
