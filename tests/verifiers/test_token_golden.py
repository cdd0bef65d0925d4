"""Golden values of the token rules, from the closed form and from the enumerated conditional laws."""

import numpy as np
import pytest

from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.verifiers import verifier
from otspec.verifiers.token.k_seq import smallest_rho
from tests.contracts.token_cases import accepted, rows
from tests.oracles import golden

PRINTED = 5.1e-7  # golden values carry six decimals
SOLVER = 1e-9  # the linear programme is scaled so that its feasibility tolerance stays below this
COLUMNS = {
    "k_seq": ("k_seq", WithReplacement),
    "rrs_iid": ("recursive", WithReplacement),
    "rrs_wor": ("recursive_wor", WithoutReplacement),
    "greedy": ("greedy", Greedy),
    "nss": ("nss", WithReplacement),
}
OPTIMA = {"opt_iid": WithReplacement, "opt_wor": WithoutReplacement, "greedy": Greedy}
ROWS = [pytest.param(name, k, row, id=f"{name}{k}")
        for table in (golden.GOLDEN, golden.EXTRA) for (name, k), row in table.items()]


def laws(name, k):
    """The instance, with unused tokens added where it has fewer tokens than drafts."""
    return [np.pad(np.array(law), (0, max(0, k - len(law)))) for law in golden.INSTANCES[name]]


def printed(row, column, name, k):
    if row[column] is None:
        assert (name, k) in golden.SHORT_SUPPORT
        return 1.0  # both tokens are drafted for certain
    return row[column]


def enumerated_acceptance(rule, scheme, target, draft):
    tokens, law = scheme.lists(draft)
    return accepted(tokens, law, verifier(rule, scheme).conditional(*rows(target, draft, tokens)))


@pytest.mark.parametrize(("name", "k", "row"), ROWS)
@pytest.mark.parametrize("column", COLUMNS)
def test_rules(name, k, row, column):
    rule, kind = COLUMNS[column]
    target, draft = laws(name, k)
    exact = printed(row, column, name, k)
    assert enumerated_acceptance(rule, kind(k), target, draft) == pytest.approx(exact, abs=PRINTED)
    formula = verifier(rule, kind(k)).acceptance(target, draft)
    assert float(formula) == pytest.approx(exact, abs=PRINTED)


@pytest.mark.parametrize(("name", "k", "row"), ROWS)
@pytest.mark.parametrize("column", OPTIMA)
@pytest.mark.parametrize("rule", ["lp", "optimal"])
def test_optima(name, k, row, column, rule):
    target, draft = laws(name, k)
    value = enumerated_acceptance(rule, OPTIMA[column](k), target, draft)
    assert value == pytest.approx(printed(row, column, name, k), abs=PRINTED + SOLVER)


@pytest.mark.parametrize(("name", "k", "row"), ROWS)
def test_smallest_rho(name, k, row):
    assert float(smallest_rho(*laws(name, k), k)) == pytest.approx(row["rho"], abs=PRINTED)


@pytest.mark.parametrize(("b", "k"), golden.BERNOULLI)
def test_bernoulli_family(b, k):
    target, draft = (np.pad(np.array([1 - law, law]), (0, 8)) for law in (b, 0.25))
    optimum, k_seq, recursive = golden.BERNOULLI[b, k]
    assert float(verifier("k_seq", k).acceptance(target, draft)) == pytest.approx(k_seq, abs=PRINTED)
    assert float(verifier("recursive", k).acceptance(target, draft)) == pytest.approx(recursive, abs=PRINTED)
    assert enumerated_acceptance("lp", WithReplacement(k), target, draft) == pytest.approx(optimum, abs=PRINTED)


@pytest.mark.parametrize("rule", ["naive", "recursive", "k_seq", "optimal", "lp"])
def test_draws_with_replacement_saturate_at_the_draft_support(rule):
    target, draft, ceiling = golden.SATURATION
    values = [enumerated_acceptance(rule, WithReplacement(k), np.array(target), np.array(draft)) for k in (1, 2, 3)]
    assert values == pytest.approx([ceiling] * 3, abs=1e-12)  # sums of at most eight lists
