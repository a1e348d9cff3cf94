"""`worker init` and `worker doctor`: the settings of a new installation, and whether they work."""
