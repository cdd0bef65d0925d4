"""``otspec decode``: what may be asked for, how mistakes end, and what is kept."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.cli import main  # noqa: E402
from otspec.cli.values import read_drafter, read_stop_tokens  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode import models  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import POCKET, Pair, load_pair  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.strange import strange  # noqa: E402

SHORT = ("--max-new-tokens", "5", "--device", "cpu", "--quiet", "--json")


@pytest.fixture(scope="module")
def pair():
    return load_pair("pocket", device="cpu")


def decoded(capsys, *arguments):
    assert main(["decode", *arguments, *SHORT]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    """Message of a decode that must fail as bad input, in one line and before anything is printed."""
    assert main(["decode", *arguments, *SHORT]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("otspec: error: ")
    return err


@pytest.mark.parametrize(("text", "made"), [
    ("tree:widths=3x2x1", ot.drafter("tree", widths=(3, 2, 1))), ("tree:widths=3", ot.drafter("tree", widths=(3,))),
    ("tree:counts=2x2x0x1", ot.drafter("tree", counts=(2, 2, 0, 1))), ("heap:nodes=8", ot.drafter("heap", nodes=8)),
    ("heap:nodes=6,max_depth=none", ot.drafter("heap", nodes=6)), ("lookup", ot.drafter("lookup")),
    ("rerank:nodes=16,width=4,max_depth=5", ot.drafter("rerank", nodes=16, width=4, max_depth=5)),
    ("lookup:draft_length=2,ngram=1", ot.drafter("lookup", draft_length=2, ngram=1)),
    ("paths:scheme=4,draft_length=8", ot.drafter("paths", scheme=4, draft_length=8))])
def test_drafters_of_the_command_line(text, made):
    assert read_drafter(text) == made


@pytest.mark.parametrize(("text", "says"), [
    ("heaps", "no drafter is called 'heaps'"), ("", "no drafter is called ''"), ("heap:", "sets nothing"),
    ("heap:nodes", "sets nothing"), ("heap:=8", "sets nothing"), ("heap:nodes=8,nodes=9", "sets nothing new"),
    ("heap:nodes=eight", "no whole number"), ("heap:nodes=-1", "no whole number"), ("heap:nodes=", "no whole number"),
    ("heap:nodes=²", "no whole number"), ("heap:nodes=0", "smaller than 1"), ("heap:width=3", "it takes nodes"),
    ("heap:nodes=3x2", "not an integer"), ("heap:nodes=none", "not an integer"), ("tree", "one of the two"),
    ("tree:widths=3x", "no whole number"), ("tree:widths=0", "smaller than 1"), ("rerank:nodes=999", "propose"),
    ("paths:scheme=2x3", "scheme"), ("tree:widths=none", "one of the two")])
def test_bad_drafters_end_in_one_line(text, says, capsys):
    message = refused(capsys, "--prompt", "x", "--drafter", text)
    assert "--drafter" in message
    assert says in message
    assert "Fix: " in message


@pytest.mark.parametrize("text", ["calibrated_heap:nodes=4", "budget_split", "calibrated_heap:nodes=4,calibration=3"])
def test_drafters_with_measured_parameters_say_where_those_come_from(text, capsys):
    message = refused(capsys, "--prompt", "x", "--drafter", text)
    assert "calibration" in message
    assert "From Python only" in message


@pytest.mark.parametrize(("drafter", "verifier"), [
    ("tree:widths=2x1", "winner_block"), ("heap:nodes=3", None), ("rerank:nodes=4", "traversal"),
    ("lookup:draft_length=2", None), ("paths:scheme=2,draft_length=2", "recursive")])
def test_drafters_decode_as_from_python(drafter, verifier, pair, capsys):
    asked = ["--prompt", "def f(x):", "--drafter", drafter, "--samples", "2"]
    value = decoded(capsys, *asked, *(["--verifier", verifier] if verifier else []))
    rule = verifier or ("block" if drafter.startswith("lookup") else "traversal")
    run = generate(pair, ["def f(x):"] * 2, drafter=read_drafter(drafter), verifier=rule, max_new_tokens=5)
    assert value["texts"] == [pair.decode(tokens) for tokens in run.tokens]
    assert value["settings"]["verifier"] == rule
    assert value["settings"]["drafter"] == repr(read_drafter(drafter))


def test_unlawful_pairs_end_in_one_line(capsys):
    message = refused(capsys, "--prompt", "x", "--drafter", "tree:widths=2x2", "--verifier", "block")
    assert "FixedTree(widths=(2, 2), counts=None) cannot be verified by 'block': it reads one path" in message
    message = refused(capsys, "--prompt", "x", "--drafter", "heap", "--verifier", "winner_block")
    assert "biased on Heap(nodes=8" in message


@pytest.mark.parametrize("beside", [["--scheme", "greedy"], ["-k", "2"], ["--draft-length", "3"]])
def test_a_drafter_says_all_that_is_drafted(beside, capsys):
    assert f"{beside[0]}: given beside --drafter" in refused(capsys, "--prompt", "x", "--drafter", "heap", *beside)


def test_one_of_prompt_and_prompts(tmp_path, capsys):
    (tmp_path / "two.txt").write_text("import \ndef f(x):\n")
    assert "--prompt: missing" in refused(capsys)
    assert "given beside --prompts" in refused(capsys, "--prompt", "x", "--prompts", str(tmp_path / "two.txt"))
    assert "cannot be read" in refused(capsys, "--prompts", str(tmp_path / "none.txt"))


def test_prompts_of_a_file_are_decoded_in_their_order(tmp_path, pair, capsys):
    (tmp_path / "two.txt").write_text("import \ndef f(x):\n")
    (tmp_path / "two.json").write_text('["import ", "def f(x):"]')
    once = decoded(capsys, "--prompts", str(tmp_path / "two.txt"))
    assert once["texts"] == [pair.decode(text) for text in generate(pair, ["import ", "def f(x):"],
                                                                    max_new_tokens=5).tokens]
    assert once["texts"] == decoded(capsys, "--prompts", str(tmp_path / "two.json"))["texts"]
    twice = decoded(capsys, "--prompts", str(tmp_path / "two.txt"), "--samples", "2", "--batch-size", "3")
    assert (len(twice["texts"]), twice["settings"]["batch_size"], twice["sequences"]) == (4, 3, 4)
    assert main(["decode", "--prompts", str(tmp_path / "two.txt"), "--samples", "2", *SHORT[:4]]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"[1/2] 'import '\n{twice['texts'][0]}\n\n[2/2] 'def f(x):'\n{twice['texts'][2]}\n\n"
                           f"shown: 2 of 4 texts, the first of each prompt; --json prints all\n\n"
                           f"tokens per target call: ")
    assert main(["decode", "--prompts", str(tmp_path / "two.txt"), *SHORT[:4]]) == 0
    assert "shown:" not in capsys.readouterr().out
    assert main(["decode", "--prompt", "def f(x):", *SHORT[:4]]) == 0
    text = capsys.readouterr().out
    assert "shown: 1 of 4 texts" in text
    assert "[1/1]" not in text


def test_prompts_may_be_token_ids(tmp_path, pair, capsys):
    ids = [pair.encode("import "), pair.encode("def f(x):")]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    value = decoded(capsys, "--prompts", str(tmp_path / "ids.json"))
    assert value["tokens"] == [list(text) for text in generate(pair, ids, max_new_tokens=5).tokens]
    for bad in ([[5, "x"]], [[]], [[1.5]], [True], [{}], [[[1]]], ["x", ""]):
        (tmp_path / "bad.json").write_text(json.dumps(bad))
        message = refused(capsys, "--prompts", str(tmp_path / "bad.json"))
        assert f"entry {len(bad) - 1} is" in message
        assert "lists of token ids" in message


def test_without_a_tokenizer_token_ids_go_in_and_out(tmp_path, monkeypatch, capsys):
    bare = Pair(tiny.model(1), tiny.model(2), None, "a", "b", 64, "cpu", "x")
    monkeypatch.setattr(models, "load_pair", lambda *_, **__: bare)
    (tmp_path / "ids.json").write_text("[[3, 4]]")
    value = decoded(capsys, "--prompts", str(tmp_path / "ids.json"))
    assert value["texts"] == [" ".join(map(str, value["tokens"][0]))]
    assert value["tokens"] == [list(text) for text in generate(bare, [[3, 4]], max_new_tokens=5).tokens]
    assert "--prompts ids.json" in refused(capsys, "--prompt", "x")


@pytest.mark.parametrize(("arguments", "says"), [
    (["--verifier", "blok"], "Did you mean 'block'"), (["--max-new-tokens", "0"], "--max-new-tokens: 0"),
    (["--temperature=-1"], "temperature: -1"), (["--top-p", "2"], "top_p: 2"), (["--stop-token", "abc"], "'abc'"),
    (["--verifier", "block", "-k", "2", "--scheme", "greedy"], "one path"), (["--draft-length", "0"], "draft_length"),
    (["--drafter", "tree:widths=2x2", "--verifier", "block"], "cannot be verified")])
def test_mistakes_are_told_before_models_load(arguments, says, monkeypatch, capsys):
    monkeypatch.setattr(models, "load_pair", lambda *_, **__: pytest.fail("a model is loaded"))
    assert main(["decode", "--prompt", "x", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_an_interrupt_before_the_first_text_says_that_there_is_none(monkeypatch, capsys):
    pair = as_pocket(monkeypatch, tiny.model(1), tiny.model(2))

    def stop(*_):
        raise KeyboardInterrupt

    pair.target.register_forward_hook(stop)
    assert main(["decode", "--prompt", "3 4"]) == 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "otspec: interrupted. No text was finished.\n")


def test_stop_tokens(pair, capsys):
    full = generate(pair, ["def f(x):"], max_new_tokens=5, stop_token=None).tokens[0]
    asked = ["--prompt", "def f(x):", "--samples", "1", "--stop-token"]
    value = decoded(capsys, *asked, str(full[3]), "--stop-token", str(full[1]))
    assert value["settings"]["stop_token"] == sorted({full[1], full[3]})
    assert value["texts"] == [pair.decode(full[:2])]
    own = decoded(capsys, *asked[:-1])["settings"]["stop_token"]
    assert own == [0]
    assert decoded(capsys, *asked, "none")["settings"]["stop_token"] == []
    assert decoded(capsys, *asked, "model")["settings"]["stop_token"] == own
    assert decoded(capsys, *asked, "model", "--stop-token", "7")["settings"]["stop_token"] == [0, 7]
    assert "'none' stands beside others" in refused(capsys, *asked, "7", "--stop-token", "none")
    assert "'end' is no token id" in refused(capsys, *asked, "end")
    assert "outside the vocabulary" in refused(capsys, *asked, "2048")
    with pytest.raises(BadArgument, match="no token id"):
        read_stop_tokens(["-1"], pair)


def test_a_draft_of_skipped_layers(tmp_path, capsys):
    skipping = ["--target", str(POCKET / "target"), "--draft", "skip:1"]
    value = decoded(capsys, *skipping, "--prompt", "def f(x):")
    assert value["settings"]["draft"] == "skip:1"
    assert "leaves out layer 99" in refused(capsys, *skipping[:-1], "skip:99", "--prompt", "x")
    (tmp_path / "p.txt").write_text("import \n")
    out = tmp_path / "trace.safetensors"
    assert main(["record", *skipping, "--prompts", str(tmp_path / "p.txt"), "--out", str(out), "--quiet"]) == 0
    assert len(ot.Trace.load(out)) == 1
    for command in ("decode", "record"):
        capsys.readouterr()
        assert main([command, "--help"]) == 0
        assert "skip:8-20" in capsys.readouterr().out


def test_a_list_of_what_may_be_asked_for(capsys):
    assert main(["decode", "--list", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in value["verifiers"]] == list(ot.list_verifiers())
    assert [row["name"] for row in value["drafters"]] == list(ot.list_drafters())
    assert {row["name"]: row["parameters"] for row in value["drafters"]}["heap"] == "nodes=8,max_depth=none"
    assert {row["name"] for row in value["drafters"] if row["from_python_only"]} == {"calibrated_heap", "budget_split"}
    assert main(["decode", "--list"]) == 0
    assert "leaves first, child by child" in capsys.readouterr().out


class Words:
    """A tokenizer whose texts are numbers."""

    def encode(self, text):
        return [int(word) for word in text.split()]

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


def as_pocket(monkeypatch, target, draft):
    pair = Pair(target, draft, Words(), "a", "b", 64, "cpu", "x")
    monkeypatch.setattr(models, "load_pair", lambda *_, **__: pair)
    return pair


def test_how_models_are_read_is_shown_where_it_is_slower(monkeypatch, capsys):
    as_pocket(monkeypatch, strange("bart", 1), tiny.model(2))
    assert main(["decode", "--prompt", "3 4", "--max-new-tokens", "3"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\nthe target model was read alone: a cache that holds texts of different length gives other "
                        "logits\n")
    as_pocket(monkeypatch, tiny.model(1), tiny.model(2))
    assert main(["decode", "--prompt", "3 4", "--max-new-tokens", "3"]) == 0
    assert "was read" not in capsys.readouterr().out


@pytest.mark.filterwarnings("default")
def test_slow_reading_is_told_in_one_line(monkeypatch, capsys):
    as_pocket(monkeypatch, strange("openai", 1), tiny.model(2))
    assert main(["decode", "--prompt", "3 4", "--max-new-tokens", "3"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("otspec: warning: target: OpenAIGPTLMHeadModel is read by one pass over every text")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("error", "code", "says"), [(KeyboardInterrupt(), 130, "interrupted. Texts that were"),
                                                     (None, 2, r"logits of prompts[")])
def test_finished_texts_are_printed_whatever_ends_the_run(error, code, says, monkeypatch, capsys):
    pair = as_pocket(monkeypatch, tiny.model(1), tiny.model(2))
    asked = ["decode", "--prompt", "3 4", "--max-new-tokens", "9", "--batch-size", "1", "--samples", "6", "--json"]
    assert main(asked) == 0
    whole, calls = json.loads(capsys.readouterr().out)["texts"], []

    def break_off(module, args, out):
        calls.append(1)
        if len(calls) == 15:
            if error is not None:
                raise error
            out.logits[:] = torch.nan

    pair.target.register_forward_hook(break_off)
    assert main(asked) == code
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert 0 < len(value["texts"]) < 6
    assert value["texts"] == whole[: len(value["texts"])]
    assert says in err
    assert err.count("\n") == 1


def test_one_text_prints_its_tokens_per_call(pair, capsys):
    asked = ["--prompt", "def f(x):", "--samples", "1"]
    value = decoded(capsys, *asked)
    assert (value["sequences"], value["stderr"], value["difference_stderr"], value["z"]) == (1, None, None, None)
    assert value["tokens_per_call"] >= 1
    assert main(["decode", *asked, *SHORT[:4]]) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.startswith(f"tokens per target call: {value['tokens_per_call']:.4f} (n=1: no standard error), ")
    assert line.endswith("a last round that was cut counts in full")
