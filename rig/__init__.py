"""Stacks, servers and faults that tests and bench programs both start; needs the checkout, and pytest for its skips."""
