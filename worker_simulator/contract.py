"""All that the fake vendor of another distribution may use: what docs/channels.md describes, and nothing else."""

from worker_simulator.answers import HttpAnswer as HttpAnswer, Refused as Refused, accepted as accepted
from worker_simulator.request import HttpRequest as HttpRequest
from worker_simulator.vendor_state import VendorState as VendorState
