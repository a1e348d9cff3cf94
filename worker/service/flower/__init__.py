"""What Flower is told: of what happens to jobs, and of jobs to which nothing happens."""
