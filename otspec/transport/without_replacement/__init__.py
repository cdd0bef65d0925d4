"""Drafts without replacement: the race that gives their capacities, the law of their order, what rejection leaves."""
