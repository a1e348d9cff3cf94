"""What decides how soon and how fast parts go: lanes, limits, permits, queues."""
