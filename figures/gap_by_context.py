"""Distance of every rule to the optimum, context by context."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("gap_by_context"))
