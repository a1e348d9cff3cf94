"""The words of the project: jobs, parts, states, outcomes, limits, errors. No I/O, no vendor, no SQL."""
