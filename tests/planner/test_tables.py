"""Measured acceptance tables: against laws at hand, and against trees that were measured whole."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.core.laws import residual  # noqa: E402
from otspec.planner.rounds import Method, tokens_per_call  # noqa: E402
from otspec.planner.tables import _filled, acceptance_tables, measured_tree  # noqa: E402
from tests.planner import tinies  # noqa: E402

WARP = {"temperature": 1.0, "top_k": None, "top_p": None}


@pytest.fixture(scope="module")
def pair():
    return tinies.pair()


def second_rate(target, draft):
    """Chance that recursive rejection keeps the second child, the first one refused: every pair of children."""
    rate = 0.0
    for first in range(len(draft)):
        refused = max(0.0, draft[first] - target[first])
        rest = np.where(np.arange(len(draft)) == first, 0.0, draft)
        if refused > 0:
            rate += refused * np.minimum(residual(target, draft), rest / rest.sum()).sum()
    return rate


def test_rates_of_the_root_are_those_of_the_laws(pair):
    texts = tinies.contexts(40)
    tables = acceptance_tables(pair, texts, 4, WARP, seed=0, sets=8)
    laws = [(tinies.laws(pair.target, text), tinies.laws(pair.draft, text)) for text in texts]
    first = np.mean([np.minimum(*both).sum() for both in laws])
    second = np.mean([second_rate(*both) for both in laws])
    for table in tables.values():  # at the root the weight is one, and both rules are alike
        assert table.rates[0, 0] == pytest.approx(first, abs=1e-9)  # the first child is integrated out
        assert ot.Estimate(table.rates[0, 1], table.stderr[0, 1]).covers(second)
    assert tables["traversal"].rates[1, 0] > tables["recursive_walk"].rates[1, 0]


def test_the_prediction_of_a_tree_is_its_measurement_where_rates_depend_on_rank_and_depth(pair):
    """One level has no assumption in it; two levels are within a few per cent."""
    texts = tinies.contexts(64)
    tables = acceptance_tables(pair, texts, 4, WARP, seed=0, sets=4)
    for rule, table in tables.items():
        for counts, within in (((3,), 0.01), ((2, 1), 0.03)):
            found = tokens_per_call(pair, texts, [Method(ot.drafter("tree", counts=counts), rule)], WARP, seed=9,
                                    sets=8)[0]
            predicted = table.expected_tokens(counts)
            assert predicted.mean == pytest.approx(found.mean(), rel=within)


def test_rates_that_were_not_measured_come_from_other_depths():
    filled = _filled(np.array([[0.6, 0.2], [0.9, np.nan]]))
    np.testing.assert_allclose(filled[0], [0.6, 0.2])
    assert filled[1].tolist() == pytest.approx([0.9, 0.05])  # half of what is left, as at the root
    assert (_filled(np.array([[1.0, np.nan], [0.5, 0.5]])).sum(axis=1) <= 1 + 1e-12).all()


def test_calibration_separates_what_the_draft_law_knows(pair):
    table = acceptance_tables(pair, tinies.contexts(40), 4, WARP, seed=0, sets=4)["traversal"]
    rates = np.array(table.calibration.by_entropy)
    assert rates.shape[0] == table.num_ranks
    assert rates[0].min() > rates[1].max()  # the first child is kept more often than the second in every bin


def test_the_measured_tree_is_deep_and_wide_enough():
    for budget in (1, 8, 32):
        drafter = measured_tree(budget)
        assert drafter.num_nodes >= 2 * budget
        assert drafter.most_draws >= 4
