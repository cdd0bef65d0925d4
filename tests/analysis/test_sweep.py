"""Trace-scale means equal context-by-context analysis, whatever the chunks, the device and the setting."""

import sys

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.analysis.sweep import sweep
from tests.conftest import random_law

ROUNDING = 1e-12  # means of sums of V rounded terms


@pytest.fixture
def laws(rng):
    return tuple(np.stack([random_law(rng, 12, zeros=i % 3 == 0) for i in range(10)]) for _ in range(2))


def test_means_equal_the_analysis_of_each_context(laws):
    target, draft = laws
    schemes = (ot.WithReplacement, ot.WithoutReplacement, ot.Greedy, ot.Hub(), lambda k: ot.Hybrid(1, k))
    table = sweep(laws, schemes=schemes, ks=(2, 3), progress=False)
    bound = {(type(s).__name__, s.num_drafts): s for s in (*(f(k) for f in schemes[:3] for k in (2, 3)), ot.Hub(),
                                                          ot.Hybrid(1, 2), ot.Hybrid(1, 3))}
    assert {(row["scheme"], row["k"]) for row in table.rows} == set(bound)
    for row in table.rows:
        scheme = bound[row["scheme"], row["k"]]
        optimum = ot.optimal_acceptance(target, draft, scheme)
        rule = "optimal" if row["rule"] in {"optimum", "winner_law"} else row["rule"]
        values = optimum if rule == "optimal" else ot.acceptance(rule, target, draft, scheme)
        assert row["acceptance"] == pytest.approx(values.mean(), abs=ROUNDING), row
        assert row["stderr"] == pytest.approx(values.std(ddof=1) / np.sqrt(10), abs=ROUNDING)
        assert row["gap"] == pytest.approx((optimum - values).mean(), abs=ROUNDING)
        assert row["largest_gap"] == pytest.approx((optimum - values).max(), abs=ROUNDING)
        assert row["contexts"] == 10
    # every rule with a closed form is there, and the others are named
    rules = {row["rule"] for row in table.where(scheme="WithReplacement", k=3).rows}
    assert {"nss", "naive", "recursive", "k_seq", "optimal"} <= rules
    assert "lp (WithReplacement(k=3))" in table.metadata["without_closed_form"]


def test_chunks_change_nothing(laws):
    whole = sweep(laws, ks=(2,), temperatures=(0.7,), progress=False)
    for chunk in (1, 3, 10, 99):
        assert sweep(laws, ks=(2,), temperatures=(0.7,), chunk=chunk, progress=False).rows == whole.rows


def test_temperature_and_truncation_apply_to_both_laws(laws):
    table = sweep(laws, rules=["k_seq"], ks=[2], temperatures=(0.5, 1.0), top_ks=(None, 3), top_ps=(None, 0.8),
                  progress=False)
    assert len(table) == 3 * 2 * 2 * 2
    for row in table.where(rule="k_seq").rows:
        target, draft = (ot.truncate(ot.temper(law, row["temperature"]), top_k=row["top_k"], top_p=row["top_p"])
                         for law in laws)
        assert row["acceptance"] == pytest.approx(ot.acceptance("k_seq", target, draft, 2).mean(), abs=ROUNDING)
        assert row["optimum"] == pytest.approx(ot.optimal_acceptance(target, draft, 2).mean(), abs=ROUNDING)


def test_torch_chunks_give_the_same_table(laws):
    numpy = sweep(laws, rules=["k_seq", "recursive", "naive", "nss"], ks=(1, 3), top_ps=(None, 0.9), progress=False)
    tensors = sweep(laws, rules=["k_seq", "recursive", "naive", "nss"], ks=(1, 3), top_ps=(None, 0.9), device="cpu",
                    chunk=4, progress=False)
    given = sweep(tuple(torch.from_numpy(law) for law in laws), rules=["k_seq", "recursive", "naive", "nss"],
                  ks=(1, 3), top_ps=(None, 0.9), progress=False)
    for other in (tensors, given):
        for row, same in zip(other.rows, numpy.rows, strict=True):
            for name in ("acceptance", "optimum", "gap", "largest_gap", "stderr"):
                assert row[name] == pytest.approx(same[name], abs=ROUNDING)
    assert (numpy.metadata["device"], tensors.metadata["device"]) == ("numpy", "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_chunks_give_the_same_table(laws):
    rules = ["k_seq", "recursive"]
    numpy, cuda = (sweep(laws, rules=rules, ks=(1, 3), device=device, progress=False) for device in (None, "cuda"))
    for row, same in zip(cuda.rows, numpy.rows, strict=True):
        assert row["acceptance"] == pytest.approx(same["acceptance"], abs=ROUNDING)
    numpy, cuda = (sweep(laws, schemes=ot.WithoutReplacement, ks=[2], rules=["optimal"], device=device, progress=False)
                   for device in (None, "cuda"))
    for row, same in zip(cuda.rows, numpy.rows, strict=True):
        assert row["optimum"] == pytest.approx(same["optimum"], abs=ROUNDING)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named(laws):
    with pytest.raises(ot.BadArgument, match="'cuda' cannot be used here"):
        sweep(laws, device="cuda", progress=False)


def test_the_pocket_trace_is_certified():
    trace = ot.load_trace("pocket")
    table = sweep(trace, rules=["k_seq", "recursive"], ks=(2, 4), progress=False)
    assert table.metadata["contexts"] == len(trace)
    for k in (2, 4):
        rows = {row["rule"]: row for row in table.where(k=k).rows}
        assert abs(rows["winner_law"]["largest_gap"]) < 1e-9
        assert rows["recursive"]["acceptance"] < rows["k_seq"]["acceptance"] < rows["optimum"]["acceptance"]
        assert min(row["gap"] for row in rows.values()) > -ROUNDING
    subset = sweep(ot.Trace.from_laws(*trace.laws(slice(3)), dtype="float64"), rules=(), ks=[2], progress=False)
    direct = ot.optimal_acceptance(*trace.laws(slice(3)), 2)
    assert subset.where(rule="optimum").column("acceptance") == pytest.approx([direct.mean()], abs=ROUNDING)


def test_quiet_and_without_tqdm(laws, capfd, monkeypatch):
    sweep(laws, rules=(), ks=[1], progress=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    table = sweep(laws, rules=(), ks=[1], progress=True)
    assert table.column("rule") == ["optimum", "winner_law"]
    assert capfd.readouterr() == ("", "")


def test_bad_arguments_are_named(laws):
    with pytest.raises(ot.BadArgument, match="k <= 12"):
        sweep(laws, ks=[13], schemes=ot.WithoutReplacement, progress=False)
    with pytest.raises(ot.BadArgument, match="no closed form"):
        sweep(laws, rules=["lp"], ks=[2], progress=False)
    with pytest.raises(ot.BadArgument, match="proved for none"):
        sweep(laws, rules=["spechub"], ks=[2], progress=False)
    with pytest.raises(ot.UnknownName, match="k_sec"):
        sweep(laws, rules=["k_sec"], ks=[2], progress=False)
    with pytest.raises(ot.BadArgument, match="not 'all'"):
        sweep(laws, rules="k_seq", progress=False)
    with pytest.raises(ot.BadArgument, match="one drafter"):
        sweep(laws, schemes=ot.Independent, ks=[2], progress=False)
    with pytest.raises(ot.BadArgument, match="none given"):
        sweep(laws, ks=(), progress=False)
    with pytest.raises(ot.ShapeMismatch, match="n V"):
        sweep((laws[0][0], laws[1][0]), progress=False)
    with pytest.raises(ot.BadArgument, match="neither a Trace"):
        sweep(laws[0], progress=False)
    with pytest.raises(ot.BadArgument, match="chunk"):
        sweep(laws, chunk=0, progress=False)
    with pytest.raises(ot.BadArgument, match="top_p"):
        sweep(laws, top_ps=[0.0], progress=False)
