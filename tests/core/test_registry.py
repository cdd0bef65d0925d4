import pytest

import otspec as ot
from otspec.core.registry import Entry, Registry, Source


def test_unknown_names_list_the_known_ones():
    registry = Registry("rule", Entry("one", int, Source("leviathan2023", "Alg. 1")), Entry("two", float, Source("x")))
    assert list(registry) == ["one", "two"]
    assert "one" in registry
    assert "three" not in registry
    assert str(registry["one"].source) == "leviathan2023 Alg. 1"
    with pytest.raises(ot.UnknownName, match=r"no rule is called 'three'.*one, two"):
        registry["three"]


def test_the_public_lookups_say_what_they_hold():
    with pytest.raises(ot.UnknownName, match="k_seq"):
        ot.verifier("kseq", 2)
    with pytest.raises(ot.UnknownName, match="gumbel"):
        ot.coupling("gumble")
