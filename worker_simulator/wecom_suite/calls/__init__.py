"""The calls of the fake suites."""
