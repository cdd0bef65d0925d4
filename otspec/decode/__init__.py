"""Real models: loading a pair, recording its laws, drafting and verifying with caches, training the pocket pair.

Everything here needs torch, and the models need transformers; both are imported inside functions, so that
importing this package costs nothing.
"""
