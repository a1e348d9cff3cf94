"""What is checked of a job of WeCom webhooks before anything is stored."""
