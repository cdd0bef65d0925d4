"""How the pocket pair was made: its corpus, the recipes of its models, the fit, and how good they are.

Everything but the corpus needs torch, and the models need transformers; both are imported inside functions, so that
importing this package costs nothing.
"""
