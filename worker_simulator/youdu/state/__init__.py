"""What the fake Youdu remembers."""
