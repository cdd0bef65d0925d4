"""The decoder and lossy rules: refused by name, decoded as objects, marked, and predicted."""

import pytest

pytest.importorskip("transformers")

import otspec as ot
from otspec.cli import main


@pytest.fixture(scope="module")
def pair():
    return ot.load_pair("pocket", device="cpu")


@pytest.mark.parametrize("name", list(ot.list_lossy()))
def test_names_are_refused_with_what_to_do(pair, name):
    with pytest.raises(ot.BadArgument, match=f"lossy.*otspec.lossy\\('{name}'"):
        ot.generate(pair, ["def f"], verifier=name, max_new_tokens=2)


def test_objects_decode_and_mark_the_run(pair):
    prompts = ["def f(x):", "import "] * 16
    runs = {}
    for name, rule in (("strict", "optimal"), ("frontier", ot.lossy("frontier", 2, budget=0.2))):
        runs[name] = ot.generate(pair, prompts, verifier=rule, scheme=2, draft_length=3, max_new_tokens=24, seed=3)
    assert runs["frontier"].settings["lossy"] is True
    assert "lossy" not in runs["strict"].settings
    assert runs["frontier"].block_efficiency.mean > runs["strict"].block_efficiency.mean + 0.2
    measured, predicted = runs["frontier"].block_efficiency, runs["frontier"].predicted_efficiency
    assert abs(measured.mean - predicted.mean) <= 5 * (measured.stderr**2 + predicted.stderr**2) ** 0.5


def test_the_command_line_refuses_them_too(capsys):
    assert main(["decode", "--prompt", "a", "--verifier", "typical", "--max-new-tokens", "2"]) == 2
    assert "lossy" in capsys.readouterr().err
