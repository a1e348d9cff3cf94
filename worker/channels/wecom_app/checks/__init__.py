"""What is checked of a job of WeCom application messages before anything is stored."""
