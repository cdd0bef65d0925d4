"""Limits that need no verifier: what no deterministic tree, no unbiased rule and no number of drafts can exceed."""

from otspec.limits.best_of import drafts_needed, kl, kl_ceiling
from otspec.limits.rejections import expected_rejections, pareto_front
from otspec.limits.speed_of_light import best_tree_tokens, log_moments, speed_of_light

__all__ = ["best_tree_tokens", "drafts_needed", "expected_rejections", "kl", "kl_ceiling", "log_moments",
           "pareto_front", "speed_of_light"]
