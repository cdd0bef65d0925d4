"""The planner: which drafts, and which rule to verify them, for a pair of models and a budget of drafted tokens."""
