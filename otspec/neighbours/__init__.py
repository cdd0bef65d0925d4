"""Neighbouring systems: other ways to emit several tokens per model call, and what each of them can promise.

Jacobi iteration drafts with the target itself, blockwise heads draft all positions at once, parallel decoding gives up
exactness for a divergence with a floor, and best-of-n spends its drafts on a reward instead of speed. The theory
(`jacobi`, `jacobi_exact`, `parallel`, `list_tasks`, `best_of_n`, `alignment`) needs no torch; what reads the models of
a pair imports it inside functions.
"""
