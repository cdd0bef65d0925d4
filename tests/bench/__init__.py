"""Benchmarks, run by hand: ``python -m tests.bench.NAME`` prints a table and writes ``tests/bench/results/NAME.csv``.

Each reports ratios of things measured side by side in one run, as min and median over repeats.
"""
