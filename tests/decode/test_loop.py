"""The decoder against decoding without caches, against argmax, against the target's exact law."""

import itertools
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, UnknownName  # noqa: E402
from otspec.core.estimate import Estimate  # noqa: E402
from otspec.core.laws import at, one_hot  # noqa: E402
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement  # noqa: E402
from otspec.core.verifier import TokenVerifier  # noqa: E402
from otspec.couplings import coupling, list_couplings  # noqa: E402
from otspec.decode import judges, loop, model_laws, room  # noqa: E402
from otspec.decode.drafters import coupled, paths  # noqa: E402
from otspec.decode.drafters.tree import FixedTree  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import load_pair  # noqa: E402
from otspec.recording.record import load_trace  # noqa: E402
from otspec.verifiers import list_verifiers, verifier  # noqa: E402
from otspec.verifiers.token.rejection import keep_probability  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.oracles.waiting import NoWaiting  # noqa: E402

TOY = tiny.pair(size=8)
PROMPTS = [[5, 6, 7, 8, 9], [1], [3, 2, 60], [11, 12]]


@pytest.fixture(scope="module")
def pair():
    return tiny.pair()


def token_rules(scheme):
    return list(list_verifiers(scheme, kind="token"))


def cases():
    """Every rule that is listed, on a scheme it is proved for: (name, scheme, draft length)."""
    for name in token_rules(WithReplacement(2)):
        # the LP plans anew for every pair of laws, so it gets a short path
        yield name, WithReplacement(2), 1 if name == "lp" else 3
    yield "single_draft", WithReplacement(1), 3
    for scheme in (WithoutReplacement(2), Greedy(2), Hybrid(1, 3), Hub()):
        for name in token_rules(scheme):
            if name != "lp":
                yield name, scheme, 1
    for name in list_verifiers(2, kind="tree"):
        yield name, WithReplacement(2), 3
    for name in list_verifiers(1, kind="block"):
        yield name, WithReplacement(1), 3
    for name, entry in list_couplings("coupling").items():
        yield name, WithReplacement(1), 3
        if "list" in entry.claims:
            yield name, coupling(name).list_scheme(3), 3


def ids(case):
    return "-".join(map(str, case))


def made(name, scheme):
    return coupling(name) if name in list_couplings() else verifier(name, scheme)


@pytest.mark.parametrize("case", list(cases()), ids=ids)
def test_cached_equals_uncached_token_for_token(pair, case):
    name, scheme, length = case
    new = 4 if name == "lp" else 7
    run = generate(pair, PROMPTS, verifier=name, scheme=scheme, draft_length=length, max_new_tokens=new, seed=3)
    expected = [tiny.decode(pair, prompt, made(name, scheme), length, new, paths=scheme.num_drafts, seed=3, place=i)
                for i, prompt in enumerate(PROMPTS)]
    assert run.tokens == expected


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_other_families_and_warps(family):
    pair = tiny.pair(family=family)
    warp = {"temperature": 0.7, "top_k": 20, "top_p": 0.9}
    run = generate(pair, PROMPTS, verifier="recursive", scheme=3, draft_length=2, max_new_tokens=8, **warp)
    assert run.tokens == [tiny.decode(pair, prompt, verifier("recursive", 3), 2, 8, paths=3, place=i, **warp)
                          for i, prompt in enumerate(PROMPTS)]


@pytest.mark.parametrize("case", [*cases(), (None, WithReplacement(1), 4)], ids=ids)
def test_temperature_zero_is_argmax_decoding(pair, case):
    name, scheme, length = case
    run = generate(pair, PROMPTS[:2], verifier=name, scheme=scheme, draft_length=length, temperature=0,
                   max_new_tokens=6)
    for prompt, text in zip(PROMPTS, run.tokens, strict=False):
        for i, token in enumerate(text):
            assert token == tiny.law(pair.target, prompt + text[:i]).argmax()
    assert run.z_score == 0  # without coins, the prediction is the event


@pytest.mark.parametrize("name", list(list_couplings("coupling")))
def test_coupled_text_depends_on_seed_and_target_only(pair, name):
    other = tiny.pair(draft=9)
    texts = [generate(one, PROMPTS, verifier=name, draft_length=length, max_new_tokens=12, seed=5).tokens
             for one, length in itertools.product((pair, other), (0, 1, 4))]
    assert all(text == texts[0] for text in texts)
    assert generate(pair, PROMPTS, verifier=name, draft_length=2, max_new_tokens=12, seed=6).tokens != texts[0]


@pytest.mark.parametrize("name", ["block", "k_seq", "gumbel"])
def test_a_text_does_not_depend_on_its_batch(pair, name):
    scheme = 2 if name == "k_seq" else 1
    settings = {"verifier": name, "scheme": scheme, "draft_length": 3, "max_new_tokens": 15}
    whole = generate(pair, PROMPTS, **settings)
    parts = generate(pair, PROMPTS, batch_size=1, **settings)
    assert whole.tokens == parts.tokens
    np.testing.assert_array_equal(whole.accepted, parts.accepted)
    np.testing.assert_allclose(whole.predicted, parts.predicted, atol=1e-9)  # float64 models, sums of 64 terms


@pytest.mark.parametrize(("name", "scheme", "drafter"), [
    ("block", 1, None), ("recursive", 2, None), ("traversal", 2, None), ("gumbel", 1, None), (None, 1, None),
    ("block", 1, "lookup"), ("greedy_block", 1, None)])
def test_rows_that_are_used_again_change_no_text(pair, name, scheme, drafter):
    prompts = [*PROMPTS, [7], [1, 2, 3, 4, 5, 6, 7, 8], [60, 61], [2]]
    settings = {"verifier": name, "scheme": scheme, "draft_length": 2, "drafter": drafter, "max_new_tokens": 9,
                "stop_token": range(20, 30)}  # texts leave at different rounds
    whole = generate(pair, prompts, **settings)
    assert len({len(text) for text in whole.tokens}) > 1
    for size in (1, 2, 5):
        parts = generate(pair, prompts, batch_size=size, **settings)
        assert parts.tokens == whole.tokens
        np.testing.assert_array_equal(parts.accepted, whole.accepted)
        np.testing.assert_allclose(parts.predicted, whole.predicted, atol=1e-9)  # sums of 64 terms
        np.testing.assert_array_equal(parts.rounds, whole.rounds)


@pytest.mark.parametrize("call", [("block", 1, None), ("traversal", 3, None), ("gumbel", 1, None), (None, 1, None),
                                  ("gumbel", WithoutReplacement(3), None), ("list_gumbel", 3, None),
                                  ("block", 1, "lookup")], ids=ids)
def test_rounds_wait_for_a_device_once(pair, call, monkeypatch):
    name, scheme, drafter = call
    settings = {"verifier": name, "scheme": scheme, "drafter": drafter, "draft_length": 2, "max_new_tokens": 6,
                "batch_size": 2, "predict": False}
    texts = generate(pair, PROMPTS, **settings).tokens  # models are tried, which waits
    rounds, copies, real, copy = [], [], loop._Batch._round, torch.Tensor.cpu
    monkeypatch.setattr(loop._Batch, "_round", lambda batch: rounds.append(1) or real(batch))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: copies.append(1) or copy(tensor))
    for module in (judges, coupled):  # tensors all the way, as on a device
        monkeypatch.setattr(module, "ask", lambda rule, *arguments, dtype=None, recorder=None: rule(*arguments))
    for module in (paths, model_laws):
        monkeypatch.setattr(module, "waits_for_nobody", lambda array: False)
    with NoWaiting():
        assert generate(pair, PROMPTS, **settings).tokens == texts
    assert len(copies) == len(rounds) > 2


@pytest.mark.parametrize("call", [("block", 1, None), ("winner_block", 3, None), ("greedy_block", 1, None),
                                  ("gumbel", 1, None), ("traversal", 1, FixedTree(widths=(2, 1, 1)))],
                         ids=lambda call: call[0])
@pytest.mark.parametrize("predict", [False, True])
def test_rows_that_idle_change_nothing(pair, call, predict, monkeypatch):
    name, scheme, drafts = call
    settings = {"verifier": name, "scheme": scheme, "drafter": drafts, "draft_length": 3, "max_new_tokens": 9,
                "stop_token": 11, "predict": predict}
    prompts = [*PROMPTS, [5], [11, 11], *PROMPTS]
    closing = generate(pair, prompts, **settings)
    sizes, real = [], loop._Batch._round
    monkeypatch.setattr(loop._Batch, "_round", lambda batch: sizes.append(len(batch.rows)) or real(batch))
    monkeypatch.setattr(room.Room, "recorded", True)
    for batch_size in (None, 3):
        idling = generate(pair, prompts, batch_size=batch_size, **settings)
        assert idling.tokens == closing.tokens
        np.testing.assert_array_equal(idling.accepted, closing.accepted)
        if predict:
            np.testing.assert_allclose(idling.predicted, closing.predicted, atol=1e-12)
    assert len(set(sizes)) > 2
    assert all(after >= before or 2 * after <= before for before, after in pairwise(sizes))  # they close up by halves


class NoResidual(TokenVerifier):
    """Planted bug: after a rejection the token is drawn from the target itself."""

    def _conditional(self, target, draft, tokens):
        keep = keep_probability(at(target, tokens), at(draft, tokens))
        return keep * one_hot(tokens[..., 0], target.shape[-1], target.dtype) + (1 - keep) * target

    def acceptance(self, target, draft):
        return np.minimum(target, draft).sum(axis=-1)


@pytest.mark.parametrize("case", [("single_draft", 1, 1), ("recursive", 2, 2), ("k_seq", 3, 1), ("optimal", 2, 2),
                                  ("recursive_wor", WithoutReplacement(2), 1), ("spechub", Hub(), 1),
                                  ("greedy", Greedy(2), 1), ("token_wise", 1, 2), ("block", 1, 2), ("gumbel", 1, 2),
                                  ("minhash", 1, 1), (None, 1, 0)], ids=ids)
def test_texts_have_the_law_of_the_target(case):
    assert np.abs(tiny.text_z_scores(TOY, *case)).max() < 5


def test_a_rule_without_residual_is_caught():
    assert np.abs(tiny.text_z_scores(TOY, NoResidual(1), 1, 1)).max() > 10


@pytest.mark.parametrize(("name", "paths", "length"), [("single_draft", 1, 3), ("naive", 3, 2), ("nss", 2, 2),
                                                       ("recursive", 3, 3), ("k_seq", 3, 3), ("optimal", 3, 3),
                                                       ("token_wise", 1, 4), ("block", 1, 4), ("gumbel", 1, 3),
                                                       ("minhash", 1, 3)])
def test_measured_meets_predicted(pair, name, paths, length):
    prompts = np.random.default_rng(0).integers(0, 64, (40, 4)).tolist()
    run = generate(pair, prompts, verifier=name, scheme=paths, draft_length=length, max_new_tokens=30, temperature=0.8)
    assert abs(run.z_score) < 5
    assert run.predicted_efficiency.mean > 1
    assert run.difference.stderr < run.block_efficiency.stderr


@pytest.mark.parametrize("scheme", [WithoutReplacement(2), WithoutReplacement(3), Greedy(3)])
def test_measured_meets_predicted_without_replacement(pair, scheme):
    prompts = np.random.default_rng(1).integers(0, 64, (48, 3)).tolist()
    name = "greedy" if isinstance(scheme, Greedy) else "recursive_wor"
    run = generate(pair, prompts, verifier=name, scheme=scheme, draft_length=1, max_new_tokens=24)
    assert abs(run.z_score) < 5


def test_a_wrong_prediction_shows(pair):
    class Overstated(NoResidual):
        def acceptance(self, target, draft):
            return np.minimum(1.0, super().acceptance(target, draft) + 0.1)

    prompts = np.random.default_rng(0).integers(0, 64, (64, 4)).tolist()
    assert generate(pair, prompts, verifier=Overstated(1), draft_length=2, max_new_tokens=40).z_score < -4


@pytest.mark.parametrize(("name", "paths"), [("block", 1), ("optimal", 2)])
def test_the_pocket_pair(name, paths):
    pair = load_pair("pocket", device="cpu")
    prompts = load_trace("pocket").prompts[:24]
    run = generate(pair, prompts, verifier=name, scheme=paths, draft_length=4, max_new_tokens=24,
                   stop_token=None)
    assert abs(run.z_score) < 5
    assert 2 < run.block_efficiency.mean < 4
    assert {len(text) for text in run.tokens} == {24}


def test_stop_token_ends_a_text(pair):
    full = generate(pair, PROMPTS, verifier="block", max_new_tokens=16).tokens
    stop = full[0][4]
    cut = generate(pair, PROMPTS, verifier="block", max_new_tokens=16, stop_token=stop).tokens
    assert cut == [text[: text.index(stop) + 1] if stop in text else text for text in full]


def test_bad_arguments(pair):
    def refused(kind, match, prompts=PROMPTS, **settings):
        with pytest.raises(kind, match=match):
            generate(pair, prompts, **({"max_new_tokens": 4} | settings))

    refused(BadArgument, "none were given", prompts=[])
    refused(BadArgument, "one string", prompts="text")
    refused(BadArgument, r"prompts\[1\]", prompts=[[1], []])
    refused(BadArgument, r"prompts\[0\]\[1\] = 64", prompts=[[1, 64]])
    refused(BadArgument, "outside the vocabulary", prompts=[[-1]])
    refused(BadArgument, "no token id", prompts=[[0.5]])
    refused(BadArgument, "temperature", temperature=-1.0)
    refused(BadArgument, "temperature", temperature=float("nan"))
    refused(BadArgument, "top_p", top_p=0.0)
    refused(BadArgument, "top_k", top_k=0)
    refused(BadArgument, "seed", seed=-1)
    refused(BadArgument, "max_new_tokens", max_new_tokens=0)
    refused(BadArgument, "draft_length", draft_length=0)
    refused(BadArgument, "batch_size", batch_size=0)
    refused(BadArgument, "256 positions", max_new_tokens=300)
    refused(BadArgument, "no token rule", verifier=3)
    refused(UnknownName, "block", verifier="blocks")
    refused(SchemeMismatch, "Block", verifier="block", scheme=2)
    refused(SchemeMismatch, "WithoutReplacement", verifier="gumbel", scheme=2)
    refused(SchemeMismatch, "scheme=1", verifier="minhash", scheme=2)
    refused(SchemeMismatch, "both laws", verifier="maximal")
    refused(BadArgument, "more than the 4", verifier="list_gumbel", scheme=5)
    refused(SchemeMismatch, "draft_length=1", verifier="recursive_wor", scheme=WithoutReplacement(2), draft_length=2)


def test_logits_that_define_no_law_are_refused():
    pair = tiny.pair(target=7)
    with tiny.banning_everything(pair.target), pytest.raises(NotALaw, match=r"target model.*-inf everywhere"):
        generate(pair, PROMPTS, max_new_tokens=2)


@pytest.mark.parametrize("case", [case for case in cases() if case[0] != "lp"], ids=ids)
def test_rules_decode_the_same_text_on_tensors(pair, case, monkeypatch):
    # on the CPU rules are asked with NumPy arrays; on a GPU they see tensors
    name, scheme, length = case
    settings = {"verifier": name, "scheme": scheme, "draft_length": length, "max_new_tokens": 5, "predict": False}
    here = generate(pair, PROMPTS, **settings)
    for module in (judges, coupled):
        monkeypatch.setattr(module, "ask", lambda rule, *arguments, dtype=None, recorder=None: rule(*arguments))
    assert generate(pair, PROMPTS, **settings).tokens == here.tokens


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", [case for case in cases() if case[0] != "lp"], ids=ids)
def test_cuda_decodes_the_same_text(pair, case):
    name, scheme, length = case
    if name == "optimal" and getattr(scheme, "num_sampled", 1) > 1:
        pytest.skip("draws without replacement of `optimal` run on the CPU")
    settings = {"verifier": name, "scheme": scheme, "draft_length": length, "max_new_tokens": 12}
    here = generate(pair, PROMPTS, **settings)
    moved = tiny.pair()
    moved.target.cuda(), moved.draft.cuda()
    object.__setattr__(moved, "device", "cuda:0")
    if name in ("importance", "global_resolution"):
        with pytest.raises(BadArgument, match="on the CPU"):
            generate(moved, PROMPTS, **settings)
        return
    there = generate(moved, PROMPTS, **settings)
    assert there.tokens == here.tokens
    # the model's norms are computed in float32 even where it is float64
    np.testing.assert_allclose(there.predicted, here.predicted, atol=1e-5)


def test_estimates_are_estimates(pair):
    run = generate(pair, PROMPTS, max_new_tokens=6)
    assert isinstance(run.block_efficiency, Estimate)
    assert len(run.to_table()) == len(PROMPTS)
