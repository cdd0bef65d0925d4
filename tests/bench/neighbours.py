"""Counts behind the figures of the neighbours on the pocket pair: ``python -m tests.bench.neighbours`` (an hour)."""

from __future__ import annotations

from figures import blockwise_lattice, jacobi_vs_window
from tests.bench.harness import save


def main() -> None:
    """Write ``jacobi_vs_window.csv`` and ``blockwise_lattice.csv``."""
    for script in (jacobi_vs_window, blockwise_lattice):
        save(script.NAME, script.data(quick=False).rows, "torch", "transformers")


if __name__ == "__main__":
    main()
