"""Distance of every sequence-level rule to the optimum on small models."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("gap_on_toys"))
