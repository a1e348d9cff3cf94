"""Where accounts come from, and how a changed account reaches a running process."""
