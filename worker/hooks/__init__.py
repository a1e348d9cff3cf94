"""Callbacks of vendors, and the application's functions that run for presses and ended jobs."""
