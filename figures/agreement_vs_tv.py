"""Agreement of couplings against total variation, between both bounds."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("agreement_vs_tv"))
