"""Rows of jobs and parts, and of their files, codes, media, events and orders."""
