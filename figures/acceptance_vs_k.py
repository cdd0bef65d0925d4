"""Acceptance of every rule against the number of drafts, under the optimum of each scheme."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("acceptance_vs_k"))
