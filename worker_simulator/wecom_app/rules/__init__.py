"""Rules for the body of a message, and tables of rules for every message type.

A rule checks one field. It raises the vendor's errcode, changes what the vendor changes without an error, and collects
what is checked later.
"""
