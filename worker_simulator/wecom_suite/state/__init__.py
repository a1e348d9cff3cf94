"""What the fake suites remember."""
