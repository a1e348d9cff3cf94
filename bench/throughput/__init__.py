"""Our worker beside a plain Celery task: the program, both sides, and what measures them."""
