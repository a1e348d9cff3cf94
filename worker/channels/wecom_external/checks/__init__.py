"""What is checked of a job of group sends to customers before anything is stored."""
