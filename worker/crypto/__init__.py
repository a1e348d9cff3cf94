"""Keyed hashes, sealed values, AES envelopes. The lowest layer: bytes and strings, no other package of ours."""
