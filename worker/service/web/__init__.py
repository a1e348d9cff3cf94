"""What a process serves over HTTP: callbacks, metrics, the console and the health endpoints."""
