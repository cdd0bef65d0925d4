"""Tokens per target call of decoding runs, beside what the laws of the same run predict."""

import sys

from figures import main

if __name__ == "__main__":
    sys.exit(main("predicted_vs_measured"))
