"""Producers beside a worker: the program, one producing process, and a look at who waits for whom."""
