import inspect

import pytest

import otspec as ot
from otspec.core import open_registry
from otspec.core.errors import BadArgument
from otspec.core.registry import Entry, Registry, Source
from otspec.core.schemes import as_scheme


def test_unknown_names_list_the_known_ones():
    registry = Registry("rule", Entry("one", int, Source("leviathan2023", "Alg. 1")), Entry("two", float, Source("x")))
    assert list(registry) == ["one", "two"]
    assert "one" in registry
    assert "three" not in registry
    assert str(registry["one"].source) == "leviathan2023 Alg. 1"
    with pytest.raises(ot.UnknownName, match=r"no rule is called 'three'.*one, two"):
        registry["three"]


def test_a_registry_prints_as_a_table():
    registry = ot.list_verifiers(2, kind="token")
    lines = repr(registry).splitlines()
    assert lines[0].split() == ["name", "kind", "summary"]
    assert len(lines) == 1 + len(registry)
    assert lines[-1].split()[:2] == ["lp", "token"]
    assert "<td>k_seq</td><td>token</td>" in registry._repr_html_()
    assert repr(registry["nss"]) == "Entry('nss', token, specinfer: draw from the target, accept by luck)"
    with pytest.raises(ot.UnknownName):
        registry[["nss"]]


SCHEMES = [1, 2, 3, ot.WithoutReplacement(1), ot.WithoutReplacement(2), ot.Greedy(2), ot.Hybrid(2, 4), ot.Hub(),
           ot.Independent(1), ot.Independent(2), ot.Joint([[0.25, 0.25], [0.25, 0.25]])]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_the_rules_listed_for_a_scheme_can_be_made_for_it_and_no_others(scheme):
    listed = ot.list_verifiers(scheme)
    for name in ot.list_verifiers():
        if name in listed:
            assert ot.verifier(name, scheme).scheme == as_scheme(scheme)
        else:
            with pytest.raises(ot.SchemeMismatch):
                ot.verifier(name, scheme)


def test_the_public_lookups_say_what_they_hold():
    with pytest.raises(ot.UnknownName, match="k_seq"):
        ot.verifier("kseq", 2)
    with pytest.raises(ot.UnknownName, match="gumbel"):
        ot.coupling("gumble")


@pytest.mark.parametrize("look", [repr, lambda registry: registry.to_table(), lambda registry: registry._repr_html_(),
                                  list, len, lambda registry: "one" in registry, lambda registry: registry["one"]],
                         ids=["repr", "table", "html", "names", "length", "membership", "entry"])
def test_the_first_look_at_an_open_registry_loads_the_packages(look, monkeypatch):
    class Point:
        name = "package"

        def load(self):
            return lambda: registry.add(Entry("plugged", float, Source("x")))

    monkeypatch.setattr(open_registry, "entry_points", lambda group: [Point()])
    registry = open_registry.OpenRegistry("rule", "a.group", Entry("one", int, Source("x")))
    assert list(registry._known) == ["one"]  # not at import
    look(registry)
    assert list(registry._known) == ["one", "plugged"]
    registry.remove("plugged")
    assert list(registry) == ["one"]  # and once only


def test_the_name_of_a_work_leads_to_its_rules():
    registry = Registry("rule", Entry("one", int, Source("Chen")), Entry("two", int, Source("chen", "Alg. 2")),
                        Entry("other", float, Source("x")))
    with pytest.raises(ot.UnknownName) as error:
        registry["CHEN"]
    assert str(error.value) == "no rule is called 'CHEN'. The work 'CHEN' is the source of 'one', 'two'. " \
        "Fix: one of one, two, other."
    with pytest.raises(ot.UnknownName) as error:
        registry["zzz"]
    assert str(error.value) == "no rule is called 'zzz'. Fix: one of one, two, other."


def test_what_cannot_be_hashed_is_not_listed():
    assert [] not in ot.list_verifiers()
    assert "block" in ot.list_verifiers()


@pytest.mark.parametrize("listed", [ot.list_verifiers, ot.list_couplings])
@pytest.mark.parametrize("kind", ["tokn", ["token"], "", 3])
def test_kinds_that_do_not_exist_are_refused(listed, kind):
    with pytest.raises(ot.BadArgument, match=r"kind: .* is none of"):
        listed(kind=kind)


def test_an_unknown_name_is_told_which_plug_ins_failed(monkeypatch):
    class Point:
        name, dist = "half", None

        def load(self):
            raise ImportError("half a package")

    monkeypatch.setattr(open_registry, "entry_points", lambda group: [Point()])
    registry = open_registry.OpenRegistry("rule", "a.group", Entry("one", int, Source("x")))
    with pytest.warns(open_registry.PluginWarning, match="half a package"):
        assert "one" in registry
    with pytest.raises(ot.UnknownName, match=r"no rule is called 'two'.* And: plug-in 'half' .*ImportError: half"):
        registry["two"]


@pytest.mark.parametrize("name", sorted(ot.list_drafters()))
def test_a_drafter_of_a_name_alone_is_made_or_says_what_is_missing(name):
    wanted = {one.name for one in inspect.signature(ot.list_drafters()[name].factory).parameters.values()
              if one.default is one.empty}
    said = ""
    try:
        ot.drafter(name)
    except BadArgument as error:  # not the TypeError of a call that lacks an argument
        said = str(error).partition(":")[0]
    assert all(one in said for one in wanted)


def test_a_missing_parameter_is_named_with_its_origin():
    with pytest.raises(BadArgument, match=r"^calibration: missing, 'calibrated_heap' .*ot\.Calibration; ot\.recommend"):
        ot.drafter("calibrated_heap", nodes=4)


def test_a_rule_that_lacks_a_parameter_says_so():
    entry = Entry("mine", lambda scheme, power: power, Source("chen"))
    with pytest.raises(BadArgument, match=r"^power: missing, 'mine' .*Fix: give power="):
        entry.make(2, {})
    assert entry.make(2, {"power": 3}) == 3


def test_a_rule_is_made_for_one_draft_unless_told_otherwise():
    entry = Entry("mine", lambda scheme, power=2: (scheme, power), Source("chen"))
    assert entry.make(None, {}) == (ot.WithReplacement(1), 2)
    assert entry.make(ot.Greedy(3), {"power": 5}) == (ot.Greedy(3), 5)
    for wrong in ("scheme", "pwer"):
        with pytest.raises(BadArgument, match=rf"^{wrong}: no parameter of 'mine'\..*Fix: it takes power"):
            entry.make(1, {wrong: 1})
    with pytest.raises(BadArgument, match=r"^x: no parameter of 'none'\..*Fix: it takes none"):
        Entry("none", lambda scheme: scheme, Source("chen")).make(1, {"x": 1})


def test_what_others_make_is_made_by_name_with_its_parameters():
    def factory(size, power=2, *rest, tail, **more):
        return size, power, tail

    factory.measured = {"size": "the number of sizes", "power": "not missing"}
    registry = Registry("drafter", Entry("mine", factory, Source("chen")))
    assert registry.made(tuple, "mine", {"size": 1, "tail": 3}) == (1, 2, 3)
    assert registry.made(tuple, (1,), {}) == (1,)
    with pytest.raises(BadArgument, match=r"^a, b: \(1,\) is made already"):
        registry.made(tuple, (1,), {"b": 1, "a": 2})
    with pytest.raises(BadArgument, match=r"^which: 3 is neither a name nor a drafter\. Fix: one of mine"):
        registry.made(tuple, 3, {}, argument="which")
    with pytest.raises(BadArgument, match=r"^size, tail: missing, 'mine' .* Fix: size= the number of sizes\.$"):
        registry.made(tuple, "mine", {})
    assert repr(Registry("drafter")) == "no drafter"
    assert "mine" in repr(registry)
    assert registry._ipython_key_completions_() == ["mine"]
    assert str(Source("chen")) == "chen"


def test_the_nearest_name_comes_before_the_works():
    registry = Registry("rule", Entry("chern", int, Source("chen")), Entry("two", int, Source("")))
    with pytest.raises(ot.UnknownName) as error:
        registry["chen"]
    assert "chern" in str(error.value)
    assert "The work" not in str(error.value)
    with pytest.raises(ot.UnknownName, match=r"^no rule is called ''\. Fix: one of chern, two\.$"):
        registry[""]


def test_what_was_added_may_be_replaced_and_removed_and_nothing_else(monkeypatch):
    monkeypatch.setattr(open_registry, "entry_points", lambda group: [])
    registry = open_registry.OpenRegistry("rule", "a.group", Entry("one", int, Source("x")))
    first, second = Entry("new", int, Source("x")), Entry("new", float, Source("y"))
    registry.add(first)
    with pytest.raises(BadArgument, match=r"^name: 'new' is registered already\. Fix: replace=True"):
        registry.add(second)
    assert registry["new"] is first
    registry.add(second, replace=True)
    assert registry["new"] is second
    registry.add(Entry("newer", int, Source("x")), replace=True)
    for replace in (False, True):
        with pytest.raises(BadArgument, match=r"^name: 'one' is a rule of otspec\. Fix: another name"):
            registry.add(Entry("one", float, Source("y")), replace=replace)
    assert [registry.from_outside(name) for name in ("one", "new", "none")] == [False, True, False]
    with pytest.raises(BadArgument, match=r"^name: 'one' is a rule of otspec and stays"):
        registry.remove("one")
    with pytest.raises(ot.UnknownName, match="no rule is called 'none'"):
        registry.remove("none")
    registry.remove("new")
    assert list(registry) == ["one", "newer"]
