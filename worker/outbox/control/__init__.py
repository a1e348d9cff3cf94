"""Reads and writes for people who are in control: parts in doubt, and what was done about jobs."""
