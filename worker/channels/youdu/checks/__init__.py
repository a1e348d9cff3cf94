"""What is checked of a job of Youdu before anything is stored."""
