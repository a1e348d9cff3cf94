"""The reference pages of docs/: `python -m rig.reference`, or `make reference`, writes them out of the program."""
