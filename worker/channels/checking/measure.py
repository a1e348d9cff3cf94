"""How long a text is, in each of the vendor's units."""

from __future__ import annotations


def byte_size(text: str) -> int:
    """Size of the UTF-8 form; half surrogates (refused elsewhere) count as three."""
    return len(text.encode("utf-8", "surrogatepass"))


def utf16_size(text: str) -> int:
    """Length in units of UTF-16: what most programs call characters; one beyond the basic plane counts as two."""
    return len(text) + sum(1 for character in text if character > "\uffff")


def chinese_size(text: str) -> float:
    """Length in Chinese characters with ASCII as halves: what the vendor presumably counts in (page 90236)."""
    return len(text) - sum(1 for character in text if character.isascii()) / 2


def longest_chinese_size(text: str) -> int:
    """Length in Chinese characters if every character counts as one."""
    return len(text)
