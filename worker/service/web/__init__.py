"""What a process serves over HTTP: callbacks and metrics."""
