"""The console's pages over a big outbox: the program, the outbox's contents, and a producer in a process of its own."""
