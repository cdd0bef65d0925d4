"""The mutation run: the list of equivalent mutants is up to date, and a mutant is what it says."""

import ast

import pytest

from tests.mutation.change import Mutant, changed, judged_equivalent, key, mutants, places
from tests.mutation.score import counts, wilson


@pytest.fixture(scope="module")
def every():
    return mutants({module for module, *_ in judged_equivalent()})


def test_every_mutant_that_is_judged_equivalent_exists(every):
    """A line of the package that has changed must be judged again."""
    known = {key(mutant) for mutant in every}
    stale = [row for row in judged_equivalent() if row not in known]
    assert stale == []
    assert all(reason.split(":")[0] in ("same", "cost") for reason in judged_equivalent().values())


def test_changes_are_those_of_one_operator():
    source = "def f(a, b=1):\n    if not a < b and zip(a, strict=True):\n        return min(a) + 2\n"
    found = []
    for number, place in enumerate(places(ast.parse(source))):
        for change in (0, 1):
            tree = ast.parse(source)
            if changed(list(places(tree))[number].node, change):
                found.append((place.function, ast.unparse(ast.fix_missing_locations(tree)).splitlines()))
    lines = [(function, next(one.strip() for one, old in zip(new, source.splitlines(), strict=True) if one != old))
             for function, new in found]
    assert lines == [
        ("", "def f(a, b=2):"), ("f", "if False:"), ("f", "if True:"),
        ("f", "if not a < b or zip(a, strict=True):"), ("f", "if not not a < b and zip(a, strict=True):"),
        ("f", "if not a <= b and zip(a, strict=True):"), ("f", "return min(a) - 2"), ("f", "return min(a) + 3")]


def test_equivalent_mutants_count_apart(every):
    row = next(iter(judged_equivalent()), None)
    other = Mutant("otspec.core.x", 0, 0, 1, "f", "a", "b")
    judged = [(other, "killed"), (other, "survived"), (other, "timeout")]
    if row is not None:
        judged.append((next(one for one in every if key(one) == row), "survived"))
    assert counts(judged) == {"killed": 1, "survived": 1, "equivalent": int(row is not None), "timeout": 1, "broken": 0}


def test_the_interval_of_a_share():
    for end in wilson(95, 100):  # the shares whose own deviation the sample is 1.96 of away from
        assert abs(0.95 - end) == pytest.approx(1.96 * (end * (1 - end) / 100) ** 0.5)
    assert wilson(0, 0) == (0.0, 1.0)
