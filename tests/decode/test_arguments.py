import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.decode.arguments import as_token_lists, check_seed, check_stop_tokens, check_warp
from otspec.decode.loop import generate
from otspec.decode.models import load_pair
from otspec.recording.record import record

torch = pytest.importorskip("torch")
NAN, INF = float("nan"), float("inf")
BAD_SETTINGS = [
    *({"top_p": value} for value in (1.5, 90, 0, -0.1, NAN, INF, "0.9", True, [0.9])),
    *({"top_k": value} for value in (0, -1, 1.5, "3", True, NAN)),
    *({"temperature": value} for value in (None, "1", True, NAN, INF, -1, [1.0]))]


@pytest.fixture(scope="module")
def pair():
    return load_pair("pocket", device="cpu")


@pytest.mark.parametrize("setting", BAD_SETTINGS, ids=str)
def test_settings_outside_range_or_type_are_refused_everywhere(pair, setting):
    (name,) = setting
    with pytest.raises(BadArgument, match=f"^{name}: .*Fix: "):
        check_warp(**{"temperature": 1.0, "top_k": None, "top_p": None} | setting)
    for run in (generate, record):
        with pytest.raises(BadArgument, match=f"^{name}: "):
            run(pair, ["x"], **setting)


def test_settings_of_every_number_type_become_plain_numbers():
    warp = check_warp(np.float32(0.5), np.int64(3), np.float64(1))
    assert warp == {"temperature": 0.5, "top_k": 3, "top_p": 1.0}
    assert [type(value) for value in warp.values()] == [float, int, float]
    assert check_warp(0, None, None) == {"temperature": 0.0, "top_k": None, "top_p": None}


@pytest.mark.parametrize(("prompts", "said"), [
    (None, "no list of prompts"), (3, "no list of prompts"), ("one", "one string"), ([], "none were given"),
    ({"input_ids": [[1]]}, "mapping with the keys 'input_ids'"), ([[1, [2]]], r"prompts\[0\]\[1\]: \[2\] \(list\)"),
    ([None], r"prompts\[0\]: None"), ([[1], []], r"prompts\[1\]: no tokens"), ([[[1, 2], [3]]], r"prompts\[0\]\[0\]"),
    ([1, 2], r"prompts\[0\]: 1 \(int\)"), ([[1.0]], "no token id"), ([[True]], "no token id"), ([[-1]], "outside"),
    ([[2048]], "outside the vocabulary of 2048"), (np.array(1), "no list of prompts"), (np.array([1, 2]), "prompts"),
    ([b"x"], "no list of tokens"), ([{1: 2}], "no list of tokens")])
def test_what_is_no_list_of_prompts_is_refused(pair, prompts, said):
    with pytest.raises(BadArgument, match=said):
        as_token_lists(pair, prompts)


def test_the_tokenizers_own_output_is_no_list_of_prompts(pair):
    with pytest.raises(BadArgument, match="'input_ids', 'attention_mask'"):
        generate(pair, pair.tokenizer(["def f(x):"]), max_new_tokens=2)


def test_prompts_of_every_kind_are_read(pair):
    ids = pair.encode("def f")
    for prompts in (["def f"], [ids], iter([tuple(ids)]), np.array([ids]), torch.tensor([ids]), [torch.tensor(ids)]):
        assert as_token_lists(pair, prompts) == [ids]


def test_stop_tokens_of_every_kind_are_a_set():
    assert check_stop_tokens(None, 10) == frozenset()
    for given in (3, np.int64(3), np.array(3), torch.tensor(3), [3], (3, 3), {3}, np.array([3]), torch.tensor([3, 3])):
        found = check_stop_tokens(given, 10)
        assert found == frozenset({3})
        assert all(type(token) is int for token in found)
    assert check_stop_tokens([0, 9], 10) == {0, 9}


@pytest.mark.parametrize("stop", ["def", "", b"x", True, 1.5, NAN, -1, 10, 10**30, [1, 10], [True], ["a"], [[1]], [1.0],
                                  np.array([1.0]), np.array(1.0), {"eos": 1}, torch.tensor([True]), object()],
                         ids=lambda given: repr(given).split(" at 0x")[0])
def test_what_is_no_stop_token_is_refused(stop):
    with pytest.raises(BadArgument, match=r"^stop_token.*Fix: "):
        check_stop_tokens(stop, 10)


@pytest.mark.parametrize("seed", [-1, 1 << 64, 1.0, True, None, "0"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(BadArgument, match=r"^seed: "):
        check_seed(seed)
