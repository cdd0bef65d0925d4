"""Token-level rules: one file for each, one line in the registry of `otspec.verifiers`."""
