"""The registry: complete, honest about schemes, and clear about what it refuses."""

import inspect
import pkgutil
import re
from importlib import import_module, resources

import numpy as np
import pytest

import otspec.verifiers.block
import otspec.verifiers.token
import otspec.verifiers.tree
from otspec.core.block import BlockVerifier
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch, UnknownName
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier
from otspec.verifiers import CLAIMS, REGISTRY, list_verifiers, verifier

SOME = [WithReplacement(1), WithoutReplacement(1), Greedy(2), Hub(), Independent(2)]


def made(name):
    """The rule, on the first scheme that it is proved for."""
    return verifier(name, next(scheme for scheme in SOME if name in list_verifiers(scheme)))


BASES = {"token": TokenVerifier, "block": BlockVerifier, "tree": TreeVerifier}


def classes(name):
    """Every class that the line's factory makes; `optimal` has one for sampled and one for different drafters."""
    return {type(verifier(name, scheme)) for scheme in SOME if name in list_verifiers(scheme)}


def test_a_class_made_without_a_scheme_has_one_draft():
    for name in REGISTRY:
        for one in classes(name):
            default = inspect.signature(one).parameters["scheme"].default
            assert default in (1, inspect.Parameter.empty) or (name, default) == ("spechub", None), name


def defined_rules():
    for room in (otspec.verifiers.token, otspec.verifiers.block, otspec.verifiers.tree):
        for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
            for _, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
                if kind.__module__ == module.name and issubclass(kind, tuple(BASES.values())):
                    yield kind


def test_registry_is_complete():
    defined = {kind for kind in defined_rules() if not inspect.isabstract(kind)}
    assert defined == set().union(*(classes(name) for name in REGISTRY))


@pytest.mark.parametrize("name", REGISTRY)
def test_a_line_says_what_its_class_says(name):
    entry = REGISTRY[name]
    assert entry.name == name
    assert set(entry.schemes) == {scheme for kind in classes(name) for scheme in kind.schemes}
    assert entry.claims <= set(CLAIMS)
    assert entry.summary
    if entry.kind == "token":
        assert hasattr(made(name), "max_deviation") == ("lossless" not in entry.claims)
    assert all(issubclass(kind, BASES[entry.kind]) for kind in classes(name))


def test_sources_are_in_the_bibliography():
    keys = re.findall(r"^@\w+\{([^,]+),", resources.files("otspec").joinpath("references.bib").read_text(), re.M)
    assert {entry.source.key for entry in REGISTRY.values()} <= set(keys)


@pytest.mark.parametrize(("scheme", "names"), [
    (1, "single_draft nss naive recursive k_seq importance global_resolution optimal lp"),
    (2, "nss naive recursive k_seq importance global_resolution optimal lp"),
    (WithoutReplacement(1), "single_draft nss naive recursive_wor optimal lp"),
    (WithoutReplacement(3), "nss naive recursive_wor optimal lp"),
    (Hybrid(0, 3), "nss optimal lp"),
    (Greedy(3), "nss greedy optimal lp"),
    (Hub(), "nss spechub lp"),
    (Independent(2), "nss importance optimal laminar lp"),
    (Independent, "nss importance optimal laminar lp"),
])
def test_rules_of_a_scheme(scheme, names):
    assert list(list_verifiers(scheme, kind="token")) == names.split()


def test_kinds_partition_the_registry():
    assert list(list_verifiers()) == list(REGISTRY)
    kinds = [set(list_verifiers(kind=kind)) for kind in BASES]
    assert set().union(*kinds) == set(REGISTRY)
    assert sum(map(len, kinds)) == len(REGISTRY)
    assert {"token_wise", "block"} <= set(list_verifiers(1, kind="block"))
    assert "block" not in list_verifiers(2, kind="block")


def test_an_object_is_returned_as_it_is():
    rule = verifier("k_seq", 2)
    assert verifier(rule) is rule
    assert verifier(rule, WithReplacement(2)) is rule
    with pytest.raises(SchemeMismatch, match=r"bound to WithReplacement\(k=2\); got WithReplacement\(k=3\)"):
        verifier(rule, 3)
    with pytest.raises(BadArgument, match="rho"):
        verifier(rule, rho=1.5)
    with pytest.raises(BadArgument, match="neither a name nor a verifier"):
        verifier(3.5)


def test_unknown_names_and_parameters():
    with pytest.raises(UnknownName, match=r"k_sek.*k_seq"):
        verifier("k_sek")
    with pytest.raises(BadArgument, match=r"gamma.*it takes rho"):
        verifier("k_seq", 2, gamma=3)
    with pytest.raises(BadArgument, match=r"rho.*it takes none"):
        verifier("nss", 2, rho=3)


def test_a_number_of_drafts_that_no_rule_takes():
    with pytest.raises(BadArgument, match="scheme"):
        verifier("nss", 0)
    with pytest.raises(SchemeMismatch, match="one draft"):
        verifier("single_draft", 2)
    with pytest.raises(BadArgument, match="vocabulary of 2"):
        verifier("nss", WithoutReplacement(3)).acceptance([0.5, 0.5], [0.5, 0.5])
    assert verifier("nss", 3).acceptance([0.5, 0.5], [0.5, 0.5]) == 7 / 8  # draws with replacement never run out


def test_lp_refuses_lists_that_cannot_be_drawn():
    target, draft = np.full(5, 0.2), np.array([0.5, 0.5, 0.0, 0.0, 0.0])
    with pytest.raises(BadArgument, match=r"tokens\[0\] = 2 has probability 0"):
        verifier("lp", 2).conditional(target, draft, np.array([2, 3]))
    joint = Joint(np.outer(draft, draft))
    with pytest.raises(BadArgument, match=r"\[2, 3\] has probability zero"):
        verifier("lp", joint).conditional(target, joint.check(None), np.array([2, 3]))
