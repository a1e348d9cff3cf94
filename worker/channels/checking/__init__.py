"""Checks a message against a vendor's field tables. Knows no vendor."""
