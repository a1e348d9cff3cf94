"""Where accounts come from, and how a change of one reaches a process that runs."""
