"""Other queues beside ours: the program, and a worker process for each of them."""
