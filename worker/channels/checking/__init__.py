"""Holding a message against a vendor's field tables: rows of data and what judges by them. Knows no vendor."""
