"""Rows of jobs and parts, and what belongs to them: files, codes, media, events, orders."""
