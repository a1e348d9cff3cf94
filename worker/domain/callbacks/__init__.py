"""The vendor's callbacks, and the events that hooks are called with."""
