"""The planted bugs have the printed bias, and small vocabularies hide some of them."""

import pytest

from tests.oracles import golden, mutants
from tests.oracles.token_rules import output_law, tv


@pytest.mark.parametrize("name", mutants.TOKEN_MUTANTS)
def test_bias_on_five_tokens(name):
    list_law, rule, printed = mutants.TOKEN_MUTANTS[name]
    p, q = golden.INSTANCES["H"]
    bias = tv(output_law(rule, p, q, list_law(q, 2)), p)
    assert bias == pytest.approx(printed, abs=5.1e-5)  # printed to four decimals


def test_three_tokens_hide_some_bugs():
    p, q = golden.INSTANCES["A"]
    hidden = {
        name
        for name, (list_law, rule, _) in mutants.TOKEN_MUTANTS.items()
        if tv(output_law(rule, p, q, list_law(q, 2)), p) < 1e-12  # rounding of nine lists
    }
    assert hidden == {"rrs_after_deduplication", "iid_as_without_replacement", "draft_not_renormalised"}
