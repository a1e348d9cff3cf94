"""Callbacks of vendors, and the application's functions that hear of presses and ended jobs."""
