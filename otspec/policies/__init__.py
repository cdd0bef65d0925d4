"""Policies: what to draft, decided before anything is verified."""
