"""Keyed hashes, sealed values, AES envelopes. The lowest layer: bytes and strings, and no other package of ours."""
