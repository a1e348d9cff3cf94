"""The fault explorer: whole installations under a scheduler that owns time, threads, the network and the database."""
