"""The reference pages of docs/: `python -m tools.reference`, or `make reference`, writes them out of the program."""
