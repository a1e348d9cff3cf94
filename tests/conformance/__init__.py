"""One suite for all channels: a test for every promise and every state, against the simulated vendor of each."""
