"""The search for the task of a create call whose answer was lost."""
