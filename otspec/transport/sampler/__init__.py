"""The convex-hull sampler: the hull edge above a draft, the pick among the drafts of its cell, and the whole draw."""
