"""Misspelt names: whatever looks a name up says which one is nearest."""

import numpy as np
import pytest

import otspec as ot
from otspec.cli import main
from otspec.core.names import did_you_mean

LAW = np.array([0.5, 0.3, 0.2])
LAWS = ["--target", "0.5,0.5", "--draft", "0.5,0.5"]


def verify(target, draft, token, rng):
    return token


WRONG = {
    "verifier": (lambda: ot.verifier("traversl"), "traversal"),
    "case and hyphens": (lambda: ot.verifier("K-Seq", 2), "k_seq"),
    "verifier of a comparison": (lambda: ot.compare(LAW, LAW, 2, ["recursiv"]), "recursive"),
    "coupling": (lambda: ot.coupling("gumble"), "gumbel"),
    "agreement": (lambda: ot.agreement("minhas", LAW, LAW), "minhash"),
    "kind of couplings": (lambda: ot.list_couplings("couplings"), "coupling"),
    "drafter": (lambda: ot.drafter("treee"), "tree"),
    "parameter of a drafter": (lambda: ot.drafter("tree", width=(2, 1)), "widths"),
    "parameter of a rule": (lambda: ot.verifier("optimal", 2, orderd=True), "ordered"),
    "length policy": (lambda: ot.length_policy("goodputt"), "goodput"),
    "tree policy": (lambda: ot.tree_policy("sequioa"), "sequoia"),
    "lossy rule": (lambda: ot.lossy("typicl", 1), "typical"),
    "pair": (lambda: ot.load_pair("pockett"), "pocket"),
    "trace": (lambda: ot.load_trace("pockt"), "pocket"),
    "draft of the trace": (lambda: ot.load_trace("pocket", draft="draft-smal"), "draft-small"),
    "column": (lambda: ot.compare(LAW, LAW, 1, "optimal").column("acceptence"), "acceptance"),
    "column of where": (lambda: ot.compare(LAW, LAW, 1, "optimal").where(ruel="optimal"), "rule"),
    "method": (lambda: ot.acceptance_bound(LAW, LAW, 2, method="laminr"), "laminar"),
    "solver": (lambda: ot.optimal_plan(LAW, LAW, 2, method="high"), "highs"),
    "kind of winner law": (lambda: ot.winner_law(LAW, LAW, 2, kind="minimall"), "minimal"),
    "kind of audit": (lambda: ot.audit(verify, kind="tokn"), "token"),
    "kind of rule": (lambda: ot.register("x", verify, source="s", claims="", summary="s", kind="tre"), "tree"),
    "kind of optimum": (lambda: ot.block_optimum(ot.MarkovModel.memoryless(LAW), ot.MarkovModel.memoryless(LAW), 1,
                                                 kind="statless"), "stateless"),
    "coupling of Jacobi decoding": (lambda: ot.jacobi(ot.MarkovModel.memoryless(LAW), 2, length=2, n=2, seed=0,
                                                      coupling="maximl"), "maximal"),
    "form of the citation": (lambda: ot.cite("bibtx"), "bibtex"),
    "colour of a rule": (lambda: ot.plots.rule_style("blok"), "block"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_nearest_name_is_named(what):
    call, meant = WRONG[what]
    with pytest.raises(ot.OtspecError, match=f"Did you mean '{meant}'\\?"):
        call()


def test_the_module_names_the_nearest_of_its_names():
    with pytest.raises(AttributeError, match=r"no attribute 'acceptence_bound'\. Did you mean 'acceptance_bound'\?"):
        ot.acceptence_bound  # noqa: B018
    assert not hasattr(ot, "__wrapped__")


def test_a_name_of_the_literature_leads_to_its_rules():
    with pytest.raises(ot.UnknownName, match="The work 'specinfer' is the source of 'nss', 'recursive'"):
        ot.verifier("specinfer")


@pytest.mark.parametrize(("line", "meant"), [
    (["recomend", "--budget", "4"], "recommend"),
    (["bound", *LAWS, "--shceme", "hub"], "--scheme"),
    (["bound", *LAWS, "--scheme", "withoutreplacement"], "without-replacement"),
    (["audit", "kernel.py:verify", "--kind", "tokn"], "token"),
    (["compare", *LAWS, "--rules", "recursiv"], "recursive"),
    (["compare", *LAWS, "--rulse", "recursive"], "--rules"),
    (["figures", "acceptance-vs-k"], "acceptance_vs_k"),
    (["decode", "--prompt", "a", "--drafter", "treee"], "tree"),
])
def test_the_command_line_names_the_nearest(line, meant, capsys):
    assert main(line) == 2
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


def test_far_names_are_not_guessed():
    assert did_you_mean("zzz", ["naive", "optimal"]) == ""
    assert did_you_mean(3, ["naive"]) == ""
    assert did_you_mean("naive", [1, None, "naiv"]) == " Did you mean 'naiv'?"
