"""What a job costs by thread and step: the program, its worker, and what the kernel counts."""
