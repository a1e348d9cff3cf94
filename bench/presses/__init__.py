"""Presses behind many ended jobs: the program, and the hooks of its workers."""
