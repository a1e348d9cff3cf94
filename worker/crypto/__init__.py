"""Keyed hashes, sealed values, AES envelopes. The lowest layer: bytes and strings, nothing of ours above it."""
