"""Places that nothing can be written to are refused before the work, by every command, naming the option."""

import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot
from otspec.cli import main
from otspec.core.errors import BadFile
from otspec.core.files import check_place
from otspec.core.table import Table
from tests.conftest import REFUSES

LAWS = ("--target", "0.5,0.5", "--draft", "0.3,0.7")
NOWHERE = "/proc/nowhere"  # of a file system that nobody, not even the superuser, makes files in


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("x\n")
    return str(tmp_path / "prompts.txt")


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    for room in ("report", "reporting.sequences", "reporting.study", "planner.recommend", "train.pocket"):
        importlib.import_module(f"otspec.{room}")  # before the names are replaced that these modules import
    for name in ("otspec.decode.models.load_pair", "otspec.recording.record.load_trace",
                 "otspec.auditing.run.audit", "otspec.analysis.compare.compare", "otspec.decode.sweep.run.models_for",
                 "otspec.train.corpus.build_corpus"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("work before the check"))


@REFUSES
@pytest.mark.parametrize(("command", "option", "ending"), [
    (["compare", *LAWS], "--out", ".csv"), (["agree", *LAWS], "--out", ".csv"),
    (["recommend", "--budget", "4"], "--out", ".png"), (["report", "--quick"], "--out", ""), (["figures"], "--out", ""),
    (["record", "--prompts", "{}"], "--out", ""), (["record", "--prompts", "{}"], "--out", ".safetensors"),
    (["sweep", "--prompts", "{}"], "--out", ""), (["audit", "x:y", "--kind", "token"], "--report", ".json"),
    (["audit", "x:y", "--kind", "token"], "--figure", ".png"), (["models", "train"], "--out", "")])
def test_a_place_that_cannot_be_written_is_told_first(command, option, ending, prompts, capsys):
    assert main([*(word.format(prompts) for word in command), option, NOWHERE + ending]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"otspec: error: {option}: {NOWHERE}{ending} cannot be written")
    assert "Fix: another place" in err


@pytest.mark.parametrize(("name", "says", "folder"), [
    ("none/x.csv", "there is no folder", False), ("x.pdf", "ends in .csv", False), ("dir.csv", "is a folder", False),
    ("file.txt", "is no folder", True), ("file.txt/deeper", "cannot be written|there is no folder", True)])
def test_places_of_the_wrong_kind(name, says, folder, tmp_path):
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(BadFile, match=f"^--out: .*({says})"):
        check_place("--out", tmp_path / name, endings=() if folder else (".csv",), folder=folder)


def test_good_places_are_left_as_they_are(tmp_path):
    check_place("--out", tmp_path / "a" / "b", folder=True)
    check_place("--out", tmp_path / "x.csv", endings=(".csv",))
    assert list(tmp_path.iterdir()) == []


@REFUSES
def test_a_table_names_the_file_that_was_asked_for():
    with pytest.raises(BadFile, match=r"^/proc/x\.csv: cannot be written"):
        Table([{"a": 1}]).to_csv("/proc/x.csv")


def test_training_refuses_a_folder_of_other_files(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    assert main(["models", "train", "pocket", "--out", str(tmp_path)]) == 2
    assert "thesis.tex, which no training wrote" in capsys.readouterr().err


@pytest.mark.parametrize(("kept", "says"), [(False, "No checkpoint was written."), (True, "from its last checkpoint")])
def test_an_interrupted_training_says_what_is_kept(kept, says, tmp_path, monkeypatch, capsys):
    def stopped(out, **_):
        if kept:
            (Path(out) / "checkpoints").mkdir(parents=True)
            (Path(out) / "checkpoints" / "target.safetensors").write_text("")
        raise KeyboardInterrupt

    monkeypatch.setattr("otspec.train.pocket.train_pocket", stopped)
    assert main(["models", "train", "pocket", "--out", str(tmp_path / "out")]) == 130
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "says"), [
    (["fetch"], "name: missing. Fix: one of smollm2"), (["fetch", "pocket"], "nothing to fetch"),
    (["list", "--scale", "3"], "--scale: it has no effect"), (["path", "pocket", "--seed", "1"], "--seed: it has no"),
    (["path", "smollm"], "Did you mean 'smollm2'"), (["list", "pocket"], "Fix: otspec models path pocket")])
def test_models_names_what_is_wrong(arguments, says, capsys):
    assert main(["models", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_every_listed_pair_has_a_path(capsys):
    assert main(["models", "--json"]) == 0
    pairs = [name for name, at in json.loads(capsys.readouterr().out).items() if "target" in at]
    assert "pocket-small" in pairs
    for name in pairs:
        assert main(["models", "path", name]) == 0
        assert Path(capsys.readouterr().out.strip(), "target").is_dir()


@pytest.mark.parametrize(("arguments", "says"), [
    (["--draft-cost=-1"], "draft_cost: -1"), (["--verify-cost", "abc"], "--verify-cost: 'abc'"),
    (["--temperature=-1"], "temperature: -1"), (["--trace", "pocket"], "--draft-cost: a trace")])
def test_recommend_checks_costs_first(arguments, says, capsys):
    assert main(["recommend", "--budget", "4", "--out", "none", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_half_a_pair_beside_a_trace(tmp_path, capsys):
    assert main(["report", "--trace", "pocket", "--target", "xyz", "--out", str(tmp_path / "r")]) == 2
    assert "or neither: a trace needs no models" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["smollm", "gema3"])
def test_a_name_near_a_known_one_does_not_reach_the_hub(target):
    from otspec.decode.weights import locate

    with pytest.raises(BadFile, match=f"no folder ./{target}, and no model is called so. Did you mean"):
        locate(target, "target")
    assert locate("gpt2", "target") == "gpt2"


def test_what_the_hub_does_not_give_is_told_in_one_line(monkeypatch):
    from otspec.decode.weights import load_model

    def offline(*_, **__):
        raise OSError("We couldn't connect\nto the hub\n" * 9)

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", offline)
    with pytest.raises(BadFile) as error:
        load_model("owner/nothing", None, "cpu")
    assert "\n" not in str(error.value)
    assert "the hub did not give a model of that name (OSError). Fix: " in str(error.value)


@pytest.mark.parametrize("law", [[1.0, 2.0, -1.0], [3.0, 4.0], [float("nan"), -3.0]])
def test_what_looks_like_logits_is_told_so(law):
    with pytest.raises(ot.NotALaw, match=r"If these are logits: otspec\.law_from_logits\(target\)"):
        ot.optimal_acceptance(law, [1.0, *[0.0] * (len(law) - 1)], 2)


@pytest.mark.parametrize("law", [[0.5, 0.51], [float("nan"), 0.5]])
def test_what_does_not_look_like_logits_is_not(law):
    with pytest.raises(ot.NotALaw) as error:
        ot.optimal_acceptance(law, [1.0, 0.0], 2)
    assert "logits:" not in str(error.value)
