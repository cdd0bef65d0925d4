"""Toy values of block verification, losslessness by enumeration, and the planted bugs."""

from fractions import Fraction as Fr

import pytest

from tests.oracles import block_mutants, block_rules, golden, greedy_block

TOY_TARGET = block_rules.memoryless([Fr(1, 3), Fr(2, 3)])
TOY_DRAFT = block_rules.memoryless([Fr(2, 3), Fr(1, 3)])
NEVER_FIRST = block_rules.memoryless([Fr(0), Fr(1, 3), Fr(2, 3)])
PRINTED = 5.1e-7  # six decimals
ROUNDING = 1e-14  # sums of 5^4 texts, each a product of a dozen factors


def rational(table):
    """Return the Markov model of ``table`` over the rationals."""
    return block_mutants.markov([[Fr(v).limit_denominator(10) for v in row] for row in table])


def memory(salt):
    """Return a three-token model over the rationals that depends on its whole context."""

    def next_law(context):
        state = salt
        for x in context:
            state = (state * 7 + 3 * x + 1) % 11
        row = [1 + (state * (i + 2)) % 5 for i in range(3)]
        return [Fr(v, sum(row)) for v in row]

    return next_law


@pytest.mark.parametrize("gamma", golden.BLOCK_TOY)
def test_printed_toy_values(gamma):
    token, block, ideal = golden.BLOCK_TOY[gamma]
    pair = (TOY_TARGET, TOY_DRAFT, gamma)
    assert block_rules.expected_accepted(block_rules.token_wise, *pair) == pytest.approx(token, abs=PRINTED)
    assert block_rules.expected_accepted(block_rules.block, *pair) == pytest.approx(block, abs=PRINTED)
    if ideal is not None:
        assert block_rules.ideal(*pair) == pytest.approx(ideal, abs=PRINTED)


def test_gamma_two_is_exact():
    pair = (TOY_TARGET, TOY_DRAFT, 2)
    assert block_rules.expected_accepted(block_rules.token_wise, *pair) == Fr(10, 9)
    assert block_rules.expected_accepted(block_rules.block, *pair) == Fr(11, 9)
    assert block_rules.ideal(*pair) == Fr(12, 9)


@pytest.mark.parametrize("verify", [block_rules.token_wise, block_rules.block])
@pytest.mark.parametrize("gamma", [1, 2, 3])
def test_lossless_over_the_rationals(verify, gamma):
    for target, draft in (
        (memory(2), memory(5)),
        (memory(1), memory(1)),
        (rational(block_mutants.MARKOV_TARGET), rational(block_mutants.MARKOV_DRAFT)),
        (block_rules.memoryless([Fr(1, 2), Fr(1, 2), Fr(0)]), NEVER_FIRST),
    ):
        emitted = block_rules.emitted_law(verify, target, draft, gamma, 4)
        assert block_rules.text_tv(emitted, block_rules.text_law(target, 4)) == 0
        completed = block_rules.completed_law(verify, target, draft, gamma, gamma + 1)
        assert block_rules.text_tv(completed, block_rules.text_law(target, gamma + 1)) == 0


@pytest.mark.parametrize("verify", [block_rules.token_wise, block_rules.block])
def test_lossless_on_five_tokens(verify):
    p, q = golden.INSTANCES["H"]
    target, draft = block_rules.memoryless(p), block_rules.memoryless(q)
    emitted = block_rules.emitted_law(verify, target, draft, 3, 4)
    assert block_rules.text_tv(emitted, block_rules.text_law(target, 4)) < ROUNDING


@pytest.mark.parametrize("gamma", [1, 2, 3, 4])
def test_stop_law_has_the_weights_as_its_tail(gamma):
    target, draft = memory(2), memory(5)
    stops = block_rules.stop_law(block_rules.block, target, draft, gamma)
    reached = {}
    for xs, mass in block_rules.drafted_blocks(draft, (), gamma).items():
        assert sum(stops[xs]) == 1
        for i in range(gamma + 1):
            reached[xs[:i]] = reached.get(xs[:i], 0) + mass * sum(stops[xs][i:])
    for prefix, mass in reached.items():
        table = block_rules.rows(target, draft, (), prefix)
        drafted = block_rules.text_law(draft, len(prefix))[prefix]
        assert mass / drafted == block_rules.weights(table, prefix)[-1]


@pytest.mark.parametrize("gamma", [1, 2, 3, 4])
def test_expected_length_against_its_formulas(gamma):
    target, draft = memory(2), memory(5)
    pair = (target, draft, gamma)
    block = block_rules.expected_accepted(block_rules.block, *pair)
    token = block_rules.expected_accepted(block_rules.token_wise, *pair)
    assert block == block_rules.block_formula(*pair)
    assert token == block_rules.token_formula(*pair)
    assert token <= block <= block_rules.ideal(*pair)
    assert (token == block) == (gamma == 1)


def test_one_hot_draft_gains_nothing():
    target = memory(2)
    draft = block_rules.memoryless([Fr(0), Fr(1), Fr(0)])
    token = block_rules.expected_accepted(block_rules.token_wise, target, draft, 4)
    assert token == block_rules.expected_accepted(block_rules.block, target, draft, 4)


@pytest.mark.parametrize("name", block_mutants.BLOCK_MUTANTS)
def test_printed_bias_of_planted_bugs(name):
    verify, printed = block_mutants.BLOCK_MUTANTS[name]
    p, q = golden.INSTANCES["H"]
    target, draft = block_rules.memoryless(p), block_rules.memoryless(q)
    truth = block_rules.text_law(target, 4)
    bias = block_rules.text_tv(block_rules.completed_law(verify, target, draft, 3, 4), truth)
    assert bias == pytest.approx(printed, abs=5.1e-4)  # three decimals
    assert block_rules.text_tv(block_rules.emitted_law(verify, target, draft, 3, 4), truth) > bias


def test_wrong_row_shows_only_where_the_context_matters():
    p, q = golden.INSTANCES["H"]
    flat = block_rules.memoryless(p), block_rules.memoryless(q)
    completed = block_rules.completed_law(block_mutants.row_before, *flat, 3, 4)
    assert block_rules.text_tv(completed, block_rules.text_law(flat[0], 4)) < ROUNDING
    target = block_mutants.markov(block_mutants.MARKOV_TARGET)
    draft = block_mutants.markov(block_mutants.MARKOV_DRAFT)
    completed = block_rules.completed_law(block_mutants.row_before, target, draft, 3, 4)
    bias = block_rules.text_tv(completed, block_rules.text_law(target, 4))
    assert bias == pytest.approx(block_mutants.ROW_BEFORE_BIAS, abs=5.1e-5)  # four decimals


@pytest.mark.parametrize("iterations", [1, 2, 3, 4])
def test_greedy_block_wins_once_and_loses_later(iterations):
    greedy, block, token = (Fr(v, 9) for v in golden.GREEDY_BLOCK_TOTALS[iterations])
    assert greedy_block.expected_total(TOY_TARGET, TOY_DRAFT, 2, iterations) == greedy
    for verify, total in ((block_rules.block, block), (block_rules.token_wise, token)):
        accepted = block_rules.expected_accepted(verify, TOY_TARGET, TOY_DRAFT, 2)
        assert iterations * (accepted + 1) == total


def test_greedy_block_reaches_the_ideal_and_is_lossless_with_its_memory():
    target, draft = memory(2), memory(5)
    branches = greedy_block.iterate(target, draft, (), 3)
    assert sum(w * (len(text) - 1) for w, text, _ in branches) == block_rules.ideal(target, draft, 3)
    emitted = greedy_block.emitted_law(target, draft, 2, 4)
    assert block_rules.text_tv(emitted, block_rules.text_law(target, 4)) == 0
