"""Sequence-level rules that verify one drafted path, one file each."""
