"""Every sequence-level rule on the same drafted paths of a pair."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("rules_on_paths"))
