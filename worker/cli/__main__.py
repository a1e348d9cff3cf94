"""`python -m worker.cli`: the same as `worker`."""

from worker.cli import main

main()
