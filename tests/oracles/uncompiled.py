"""Compiled modules as the Python they are made of, in which a place outside an array raises an error."""

from types import ModuleType

import pytest


def uncompile(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Replace the compiled functions of modules until the test ends."""
    for module in modules:
        for name, function in vars(module).copy().items():
            if hasattr(function, "py_func"):
                monkeypatch.setattr(module, name, function.py_func)
