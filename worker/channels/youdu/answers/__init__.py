"""Reads answers of Youdu: what they say of the recipients, what words they use, and answers of a proxy."""
