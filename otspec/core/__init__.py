"""Nouns: laws, noise, draft schemes, problems, bounds, verifiers, traces. No solver, no model, no plot."""
