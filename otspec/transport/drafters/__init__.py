"""Drafts from several different laws: laminar plans, mixtures of priority orders, and the capacities they need."""
