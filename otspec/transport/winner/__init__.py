"""Winner laws: laws sorted by target/draft, the capacity of every prefix, and the least concave majorant above it."""
