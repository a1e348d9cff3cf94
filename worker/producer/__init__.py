"""What applications write: jobs, inside their own transaction."""
