"""Questions asked of any registered thing: exact analysis, Monte Carlo, comparison."""
