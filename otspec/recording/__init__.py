"""Laws of a pair along texts and drafted paths, recorded once and studied offline: traces, comparisons, bounds."""
