"""Urgent, normal and bulk parts beside each other: the program, and the arithmetic by which it judges."""
