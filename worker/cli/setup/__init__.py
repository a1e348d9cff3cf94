"""`worker init` and `worker doctor`: write the settings of a new installation, and check that they work."""
