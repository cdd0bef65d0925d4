"""Rules from outside: a registered rule is a row everywhere, names are guarded, plug-ins wait for the first look-up."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.blocks import block_efficiency, text_law
from otspec.core.open_registry import OpenRegistry, PluginWarning
from otspec.core.registry import Entry, Source
from otspec.verifiers import REGISTRY
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.greedy_block import GreedyBlock
from otspec.verifiers.token.naive import Naive
from otspec.verifiers.tree.traversal import Traversal

ROOT = Path(__file__).parents[1]
TARGET, DRAFT = [0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]


class Mine(Naive):
    """A rule of the notebook."""


class MyTree(ot.TreeVerifier):
    """Traversal by its definition alone."""

    def _joint(self, tree, target, draft):
        return Traversal(self.scheme)._joint(tree, target, draft)


class MyBlock(ot.BlockVerifier):
    """Block verification by its law alone."""

    def _conditional(self, target_rows, draft_rows, tokens):
        return Block()._conditional(target_rows, draft_rows, tokens)


@pytest.fixture
def registered():
    """Register rules under names, and remove them afterwards."""
    names = []

    def add(name, factory, claims="lossless", **options):
        entry = ot.register(name, factory, source="notebook", claims=claims, summary="a rule of mine", **options)
        names.append(name)
        return entry

    yield add
    for name in dict.fromkeys(names):
        ot.unregister(name)
    assert not {"mine", "my_tree", "my_block"} & set(ot.list_verifiers())


def test_a_token_rule_is_a_row_everywhere(registered):
    assert "mine" not in ot.list_verifiers()
    entry = registered("mine", Mine, claims=["lossless", "reflexive"])
    assert (entry.kind, str(entry.source), entry.schemes) == ("token", "notebook", Naive.schemes)
    assert list(ot.list_verifiers())[-1] == "mine"
    assert "mine" in ot.list_verifiers(2)
    assert isinstance(ot.verifier("mine", 2), Mine)
    rows = {row["rule"]: row["acceptance"] for row in ot.compare(TARGET, DRAFT, 2).rows}
    assert rows["mine"] == rows["naive"]
    coin = ot.MarkovModel.memoryless(TARGET)
    assert ot.block_efficiency("mine", coin, ot.MarkovModel.memoryless(DRAFT), 2, num_paths=2).mean > 1
    assert ot.plots.style.rule_style("mine")
    ot.testing.check_verifier("mine", 2)


def test_block_and_tree_rules_are_rows_of_the_exact_tables(registered):
    registered("my_block", MyBlock, kind="block")
    registered("my_tree", MyTree, kind="tree")
    assert ot.list_verifiers()["my_block"].claims == {"lossless", "one_draft"}
    table = ot.compare_toys(1)
    for mine, twin in (("my_block", "block"), ("my_tree", "traversal")):
        both = [table.where(rule=name).column("efficiency") for name in (mine, twin)]
        assert both[0] == pytest.approx(both[1], abs=1e-12)  # the same products
    ot.testing.check_verifier("my_block")
    ot.testing.check_verifier("my_tree", 2)


def test_a_state_is_implied_by_the_class(registered):
    class MyGreedy(GreedyBlock):
        """Another greedy."""

    assert registered("mine", MyGreedy, kind="block").claims == {"lossless", "one_draft", "carries_state"}
    pair = ot.MarkovModel.memoryless(TARGET), ot.MarkovModel.memoryless(DRAFT)
    assert np.abs(text_law("mine", *pair, 2, draft_length=1) - pair[0].text_law(2)).max() < 1e-12  # a dozen products
    assert block_efficiency("mine", *pair, 1).mean == pytest.approx(1.65)


def test_registered_rules_decode_by_name(registered):
    pytest.importorskip("transformers")
    from tests.decode import tiny

    pair = tiny.pair(size=8)
    for name, factory, twin, kind in (("mine", Mine, "naive", "token"), ("my_block", MyBlock, None, "block"),
                                      ("my_tree", MyTree, None, "tree")):
        registered(name, factory, kind=kind)
        settings = {"scheme": 1 if kind == "block" else 2, "draft_length": 2, "max_new_tokens": 6, "seed": 1}
        run = ot.generate(pair, [[1, 2], [3]], verifier=name, **settings)
        assert [len(text) for text in run.tokens] == [6, 6]
        if twin:
            other = ot.generate(pair, [[1, 2], [3]], verifier=twin, **settings)
            assert [list(text) for text in run.tokens] == [list(text) for text in other.tokens]


def test_parameters_pass_through(registered):
    class Weighted(Naive):
        """A rule with a parameter."""

        def __init__(self, scheme=1, *, weight=1.0):
            super().__init__(scheme)
            self.weight = weight

    registered("mine", Weighted)
    assert ot.verifier("mine", 2, weight=0.5).weight == 0.5
    with pytest.raises(ot.BadArgument, match="it takes weight"):
        ot.verifier("mine", 2, height=0.5)
    registered("my_block", lambda scheme: Weighted(scheme, weight=2.0), schemes=(ot.WithReplacement,))
    assert ot.verifier("my_block").weight == 2.0


def test_names_are_guarded(registered):
    registered("mine", Mine)
    with pytest.raises(ot.BadArgument, match=r"'mine' is registered already.*replace=True"):
        registered("mine", Mine)
    registered("mine", Naive, replace=True)
    assert type(ot.verifier("mine")) is Naive
    with pytest.raises(ot.BadArgument, match="'block' is a verifier of otspec"):
        registered("block", Mine, replace=True)
    with pytest.raises(ot.BadArgument, match="'gumbel' is a coupling"):
        registered("gumbel", Mine)
    with pytest.raises(ot.BadArgument, match="stays"):
        ot.unregister("block")
    with pytest.raises(ot.UnknownName, match="'yours'"):
        ot.unregister("yours")


class Abstract(ot.TokenVerifier):
    """Writes nothing."""


@pytest.mark.parametrize(("change", "says"), [
    ({"name": "all"}, "stands for something else"), ({"name": "two words"}, "letters"), ({"name": 3}, "letters"),
    ({"kind": "stateful"}, "kind: 'stateful'.*token, block, tree"),
    ({"kind": ["token"]}, "kind: "), ({"claims": "fast"}, "'fast' is no claim"),
    ({"summary": " "}, "empty"), ({"source": ""}, "empty"), ({"factory": 3}, "cannot be called"),
    ({"factory": Block}, "Block is no TokenVerifier"), ({"factory": Abstract}, "does not write _conditional"),
    ({"factory": lambda: None}, "takes no argument"), ({"factory": lambda scheme: None}, "schemes"),
    ({"schemes": (int,)}, "schemes")])
def test_what_is_wrong_is_said(change, says):
    given = {"name": "mine", "factory": Mine, "source": "notebook", "claims": "lossless", "summary": "mine"} | change
    with pytest.raises(ot.BadArgument, match=f"(?=.*{says}).*Fix"):
        ot.register(given.pop("name"), given.pop("factory"), **given)
    assert "mine" not in ot.list_verifiers()


def test_iteration_is_not_disturbed(registered):
    for place, _ in enumerate(REGISTRY):
        if place == 2:
            registered("mine", Mine)
    assert "mine" in REGISTRY


def installed(folder, name, code):
    """A package on the path with one entry point."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[otspec.verifiers]\n{name} = {name}:announce\n")


GOOD = """
import otspec as ot
from otspec.verifiers.token.naive import Naive
def announce():
    ot.register("plugged", Naive, source="plug", claims="lossless", summary="from a package")
"""
HALF = GOOD.replace("plugged", "half") + "    raise RuntimeError('out of order')\n"


def test_packages_announce_rules_and_broken_ones_hide_nothing(tmp_path):
    installed(tmp_path, "plug_good", GOOD)
    installed(tmp_path, "plug_half", HALF)
    installed(tmp_path, "plug_missing", "import no_such_module\n")
    code = (f"import sys, warnings; sys.path.insert(0, {str(tmp_path)!r}); import otspec as ot\n"
            "with warnings.catch_warnings(record=True) as seen:\n"
            "    warnings.simplefilter('always')\n"
            "    assert 'plug_good' not in sys.modules\n"
            "    names = list(ot.list_verifiers())\n"
            "    assert list(ot.list_verifiers()) == names\n"
            "print(len(names), 'plugged' in names, 'half' in names, 'optimal' in names)\n"
            "print(sorted((w.category.__name__, str(w.message)) for w in seen))\n"
            "try:\n    ot.verifier('half')\nexcept ot.UnknownName as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                          timeout=120)
    counts, warned, unknown = done.stdout.strip().splitlines()
    assert counts == f"{len(REGISTRY) + 1} True False True"
    assert warned.count("PluginWarning") == 2
    assert "plug-in 'plug_half' of plug_half failed: RuntimeError: out of order" in warned
    assert "plug-in 'plug_missing' of plug_missing failed: ModuleNotFoundError" in warned
    assert "no verifier is called 'half'" in unknown
    assert "out of order" in unknown


def test_an_entry_point_that_names_no_function_is_named(monkeypatch):
    class Point:
        name, dist = "odd", None

        def load(self):
            return 3

    monkeypatch.setattr("otspec.core.open_registry.entry_points", lambda group: [Point()])
    registry = OpenRegistry("rule", "some.group", Entry("one", int, Source("x")))
    with pytest.warns(PluginWarning, match="'odd' of unknown package failed: TypeError"):
        assert list(registry) == ["one"]
    assert len(registry) == 1
    assert "one" in registry


class Leaky(ot.TokenVerifier):
    """Returns rows that sum to more than one."""

    def _conditional(self, target, draft, tokens):
        return np.full((len(tokens), target.shape[-1]), 0.9)


class OneRow(Leaky):
    """Forgets that lists come in batches."""

    def _conditional(self, target, draft, tokens):
        return np.asarray(target)[0]


class RowByRow(Leaky):
    """Takes the drafts of a batch for those of one list."""

    def _conditional(self, target, draft, tokens):
        return target * int(tokens[0] == 1)


class Missing(Leaky):
    """Divides zero by zero after some lists."""

    def _conditional(self, target, draft, tokens):
        return np.where(tokens[..., :1] == 1, np.nan, target)


class Keeps(ot.TokenVerifier):
    """Emits the first draft, whatever the target."""

    def _conditional(self, target, draft, tokens):
        return np.eye(target.shape[-1])[tokens[..., 0]]


@pytest.mark.parametrize(("factory", "says"), [
    (Leaky, r"Leaky.*no law.*sum is 4\.5"), (OneRow, r"OneRow.*shape \(5,\) for 25 lists.*\[n V\], here \(25, 5\)"),
    (RowByRow, "RowByRow.*failed on 25 lists of drafts at once with TypeError"), (Missing, "Missing.*sum is nan")])
def test_what_is_no_law_per_list_is_refused_or_left_out(registered, factory, says):
    registered("mine", factory)
    with pytest.raises(ot.BadArgument, match=f"(?s)(?=.*{says}).*Fix"):
        ot.acceptance("mine", TARGET, DRAFT, 2)
    with pytest.raises(ot.BadArgument, match=says):
        ot.output_law("mine", TARGET, DRAFT, 2)
    with pytest.raises(ot.BadArgument, match=says):
        ot.compare(TARGET, DRAFT, 2, ["mine", "optimal"])
    if factory is Leaky:
        with pytest.raises(ot.BadArgument, match="no law"):
            ot.sampled_acceptance("mine", TARGET, DRAFT, 2, n=4, seed=0)
    with pytest.warns(PluginWarning, match="mine: left out, it failed"):
        rules = ot.compare(TARGET, DRAFT, 2).column("rule")
    assert rules == [name for name in ot.list_verifiers(2, kind="token") if name != "mine"]


def test_a_rule_that_cannot_be_made_is_left_out(registered):
    def factory(scheme):
        raise RuntimeError("out of order")

    registered("mine", factory, schemes=(ot.WithReplacement,))
    with pytest.warns(PluginWarning, match="mine: left out.*out of order"):
        assert "naive" in ot.compare(TARGET, DRAFT, 2).column("rule")
    with pytest.raises(RuntimeError, match="out of order"):
        ot.compare(TARGET, DRAFT, 2, "mine")


@pytest.mark.parametrize("mass", [1 - 9e-7, 1.0, 1 + 9e-7])
def test_rules_of_the_package_pass_on_laws_within_their_tolerance(mass):
    for dtype, scale in ((np.float64, mass), (np.float32, 1 + 900 * (mass - 1))):
        laws = [(np.asarray(law) * scale).astype(dtype) for law in (TARGET, DRAFT)]
        table = ot.compare(*laws, 2, [name for name in ot.list_verifiers(2, kind="token") if name != "lp"])
        assert all(row["deviation"] == 0 for row in table.rows
                   if "lossless" in ot.list_verifiers()[row["rule"]].claims)


def test_a_false_claim_is_shown_and_is_no_record(registered, capsys):
    from otspec.cli import main
    from otspec.recording.record import load_trace
    from otspec.reporting import exact

    registered("mine", Keeps)
    with pytest.warns(PluginWarning, match=r"mine: claims to be lossless.*off by 0\.7 in L1.*no record"):
        row = ot.compare(TARGET, DRAFT, 2, "mine").rows[0]
    assert row["acceptance"] == pytest.approx(1)
    assert row["deviation"] == pytest.approx(0.7)  # |.25| + |.10| + |.10| + |.25|
    laws = [",".join(map(str, law)) for law in (TARGET, DRAFT)]
    assert main(["compare", "--target", laws[0], "--draft", laws[1]]) == 1
    said = capsys.readouterr().err
    assert said.startswith("otspec: check failed: mine claims to be lossless")
    assert said.count("\n") == 1
    result = exact.scheme_result(load_trace("pocket"), ot.WithReplacement(1), np.arange(2), 4, 0, lambda part: None)
    with pytest.warns(PluginWarning, match="mine: claims to be lossless"):
        rows = {row["rule"]: row for row in exact.acceptance_table([result]).rows}
    assert (rows["mine"]["lossless"], rows["mine"]["violations"]) == (False, None)
    assert rows["naive"]["lossless"] is True


def test_a_report_goes_on_without_a_rule_that_fails(registered):
    from otspec.recording.record import load_trace
    from otspec.reporting import exact

    registered("mine", Leaky)
    with pytest.warns(PluginWarning, match="mine: left out"):
        result = exact.scheme_result(load_trace("pocket"), ot.WithReplacement(1), np.arange(2), 4, 0, lambda part: None)
    assert "mine" not in result["rules"]
    assert "naive" in result["rules"]
