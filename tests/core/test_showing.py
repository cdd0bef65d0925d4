"""Names that are suggested, and what is shown of a result."""

import pytest

import otspec as ot
from otspec.core.names import did_you_mean
from otspec.core.showing import card


@pytest.mark.parametrize(("name", "known", "said"), [
    ("K-Seq", ["naive", "k_seq"], " Did you mean 'k_seq'?"), ("KSEQ", ["k_seq", "k_seq2"], " Did you mean 'k_seq'?"),
    ("naive", ["naive", "naive_2"], " Did you mean 'naive_2'?"),  # what is known as written was not meant
    ("xyz", ["naive"], ""), ("naive", [], ""), (3, ["naive", 3], ""), (None, [None], ""), ("naiv", [3, None, "naive"],
                                                                                     " Did you mean 'naive'?"),
    ("float", ("float64", "float32"), " Did you mean 'float64'?")])
def test_the_nearest_of_the_known_names_is_suggested(name, known, said):
    assert did_you_mean(name, known) == said


def test_a_card_escapes_its_facts():
    assert card("a<b", {"x&y": "<i>", "n": 0}) == (
        "<p><b>a&lt;b</b></p><table><tbody><tr><th>x&amp;y</th><td>&lt;i&gt;</td></tr>"
        "<tr><th>n</th><td>0</td></tr></tbody></table>")


def test_hidden_names_are_not_completed():
    assert not [name for name in dir(ot.Estimate(0.5)) if name.startswith("_")]
    assert {"mean", "interval", "from_samples"} <= set(dir(ot.Estimate(0.5)))
