"""A small run of the fuzzer, so that no entry of it goes stale and what it once found stays found."""

import collections

import pytest

from tests import fuzz


@pytest.mark.parametrize("entry", fuzz.ENTRIES)
def test_nothing_escapes(entry):
    made, outcomes, findings = fuzz.run(60 if entry in ("bounds", "rules", "tables", "shell") else 300, 11, entry)
    assert findings == {}
    assert sum(outcomes.values()) == made
    assert collections.Counter(outcome for _, outcome in outcomes)["returned"]  # some input is good
    assert len(outcomes) > 1 or entry == "shell"  # and some is refused


def test_an_escape_is_reported_with_how_to_make_it_again(monkeypatch):
    monkeypatch.setitem(fuzz.ENTRIES, "laws", (lambda rng: fuzz.ot.draw(None, None).missing, 1))
    monkeypatch.setattr(fuzz.ot.core.laws, "_undrawable", lambda law, uniform: None)
    _, _, findings = fuzz.run(3, 0, "laws")
    (kind,) = findings
    assert "core/laws.py" in kind
    assert findings[kind] == "--entry laws --seed 0 --at 0"
