"""What an application writes: messages, files, recipients."""
