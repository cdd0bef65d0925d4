"""Noise: the same bits everywhere, a logarithm within 2 ulp, and numbers that look independent."""

import math
from decimal import Decimal, localcontext

import array_api_strict as strict
import numpy as np
import pytest
import torch
from scipy import stats

from otspec.core.errors import BadArgument
from otspec.core.noise import KINDS, Noise, negative_log

SIZE = 200_000
Z = 5.0  # standard errors
FROZEN_UNIFORMS = ["0x1.da202e598192dp-1", "0x1.76d7d57c1e8c6p-2", "0x1.0e64b021d5076p-2"]
FROZEN_EXPONENTIALS = ["0x1.3ac94d7678c4fp-4", "0x1.01455686a51c6p+0", "0x1.54e35b681cfa3p+0"]
FROZEN_DARTS = [27, 85, 985, 548]
FROZEN_COINS = ["0x1.8a3c0585de133p-1", "0x1.64fffba2f9d60p-6"]
FROZEN_STREAM = ["0x1.d90e7b2a360f1p-1", "0x1.6e00113ab588dp-1"]  # Noise(3, -5), stream 4


def bits(array):
    return np.asarray(array, dtype=np.float64).view(np.int64)


def everywhere(seed, position):
    here = Noise(seed, position)
    yield Noise(seed, position, xp=torch)
    yield Noise(seed, position, xp=strict)
    yield here.like(torch.zeros(1)).like(strict.zeros(1)).like(np.zeros(1))
    if not isinstance(position, int):
        yield Noise(seed, torch.asarray(position))
        yield Noise(seed, strict.asarray(position))


def test_frozen_values():
    # a change of the generator changes every seeded text: these numbers may not move
    noise = Noise(0, 0)
    assert [float.hex(float(v)) for v in noise.uniforms(3)] == FROZEN_UNIFORMS
    assert [float.hex(float(v)) for v in noise.exponentials(3)] == FROZEN_EXPONENTIALS
    assert [int(v) for v in noise.darts(np.arange(4), 1000)[0]] == FROZEN_DARTS
    assert [float.hex(float(v)) for v in noise.coins(2)] == FROZEN_COINS
    assert [float.hex(float(v)) for v in Noise(3, -5).uniforms(2, stream=4)] == FROZEN_STREAM
    # at the edge of the mantissa's interval, and where every term of the series counts
    for uniform, logarithm in ((0.5**0.5 * 2.0**-29, "0x1.472a5c30ead68p+4"),
                               (float.fromhex("0x1.697a6eb7d1121p-1"), "0x1.647a4a02a25fap-2")):
        assert float.hex(float(negative_log(np.array([uniform]))[0])) == logarithm


@pytest.mark.parametrize("seed", [0, -3, 2**63 + 11, 10**30])
@pytest.mark.parametrize("position", [5, np.arange(6).reshape(2, 3)])
def test_same_bits_on_every_library(seed, position):
    here = Noise(seed, position)
    for other in everywhere(seed, position):
        assert other.batch == here.batch == np.shape(position)
        assert np.array_equal(bits(here.uniforms(33)), bits(other.uniforms(33)))
        assert np.array_equal(bits(here.exponentials(33, stream=2)), bits(other.exponentials(33, stream=2)))
        for index in (7, np.arange(5)):
            there = index if isinstance(index, int) else other._xp.asarray(index)
            for mine, theirs in zip(here.darts(index, 9), other.darts(there, 9), strict=True):
                assert np.array_equal(mine, np.asarray(theirs))


def test_noise_without_a_device_goes_where_the_array_is():
    there = Noise(0, np.arange(3), xp=torch)
    assert there.like(torch.zeros(1)) is there
    assert there.like(torch.zeros(1, device="meta")).uniforms(4).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_bits_on_a_gpu():
    here = Noise(4, np.arange(64))
    there = here.like(torch.zeros(1, device="cuda"))
    assert there.uniforms(1).is_cuda
    assert np.array_equal(bits(here.exponentials(5000)), bits(there.exponentials(5000).cpu()))
    index = torch.arange(5000, device="cuda")
    for mine, theirs in zip(here.darts(np.arange(5000), 777), there.darts(index, 777), strict=True):
        assert np.array_equal(mine, np.asarray(theirs.cpu()))
    assert np.array_equal(bits(there.like(np.zeros(1)).exponentials(9)), bits(here.exponentials(9)))


def test_one_key_never_serves_twice():
    noise = Noise(5, 6)
    lanes = [int(noise.lane(kind, stream)[0]) for kind in KINDS for stream in range(-3, 40)]
    assert len(set(lanes)) == len(lanes)
    assert noise.lane("uniform") == noise.lane("uniform", 0)


def test_entries_at_tokens_and_of_some_rows_are_those_of_the_whole(convert):
    seeds, positions = np.arange(2)[:, None], np.array([4, 5, 9])
    whole = Noise(seeds, positions)
    mine = Noise(convert(seeds), convert(positions))
    assert mine.batch == (2, 3)
    tokens = np.array([[[0, 7], [2, 2], [6, 1]], [[5, 3], [4, 0], [1, 1]]])
    for stream in (0, 2):
        found = np.asarray(mine.uniforms_at(convert(tokens.astype(np.int32)), stream=stream))
        assert np.array_equal(found, np.take_along_axis(whole.uniforms(8, stream=stream), tokens, axis=-1))
    rows = np.array([5, 0, 4, 5])
    some = mine.take(convert(rows))
    assert some.batch == (4,)
    for name in ("uniforms", "coins", "exponentials"):
        expected = getattr(whole, name)(3, stream=1).reshape(6, 3)[rows]
        assert np.array_equal(np.asarray(getattr(some, name)(3, stream=1)), expected)
        assert np.array_equal(np.asarray(getattr(some, name)(3)), np.asarray(getattr(some, name)(3, stream=0)))
    assert mine.distinct
    assert not some.distinct
    for found, expected in zip(mine.darts(np.arange(4), 9), whole.darts(np.arange(4), 9), strict=True):
        assert type(found) is type(mine.coins(1))  # whatever the library of the index
        assert np.array_equal(np.asarray(found), expected)
    for mine, theirs in zip(some.darts(2, 9, stream=1), whole.darts(2, 9, stream=1), strict=True):
        assert np.array_equal(np.asarray(mine), theirs.reshape(6)[rows])


def test_a_noise_goes_where_an_array_is_and_tells_where(convert):
    for place in (np.zeros(1), convert(np.zeros(1))):
        here = Noise(np.arange(3), 7).like(place)
        assert type(here.coins(2)) is type(place)
        assert here.like(place) is here
        assert repr(here) == f"Noise(batch=(3,), {type(place).__module__.split('.')[0]})"
    assert type(Noise(convert(np.arange(3)), 7, xp=np).coins(2)) is np.ndarray
    assert repr(Noise(0, 0)) == "Noise(batch=(), numpy)"
    bare = Noise(0, 7)
    assert bare.like(np.zeros(1)) is bare
    ids = torch.arange(3)
    for there in (Noise(ids, 7, device="meta"), Noise(ids.to("meta"), 7), Noise(7, ids.to("meta"))):
        for drawn in (there.coins(2), there.uniforms_at(ids[:, None].to("meta")), *there.darts(0, 5)):
            assert drawn.device.type == "meta"


@pytest.mark.parametrize(("call", "name"), [
    (lambda noise, size: noise.uniforms(size), "vocabulary"), (lambda noise, size: noise.coins(size), "count"),
    (lambda noise, size: noise.darts(0, size), "vocabulary")])
def test_sizes_are_counts(call, name):
    noise = Noise(0, 0)
    for size in (0, -1, 1.5, True):
        with pytest.raises(BadArgument, match=f"^{name}: {size}"):
            call(noise, size)
    assert np.shape(call(noise, 1)) in ((1,), (2,))


def test_scalars_and_arrays_are_the_same_noise():
    table = Noise(np.arange(3)[:, None], np.arange(4)).exponentials(6)
    assert table.shape == (3, 4, 6)
    for seed in range(3):
        for position in range(4):
            assert np.array_equal(table[seed, position], Noise(seed, np.int64(position)).exponentials(6))
    assert np.array_equal(table[1, 2], Noise(np.asarray(1), np.asarray(2, dtype=np.int32)).exponentials(6))


def test_a_longer_vocabulary_keeps_the_prefix_and_darts_keep_their_index():
    noise = Noise(1, 2)
    assert np.array_equal(noise.uniforms(5), noise.uniforms(50)[:5])
    token, height = noise.darts(np.arange(20), 7)
    assert (int(token[11]), float(height[11])) == tuple(v.item() for v in noise.darts(11, 7))


def test_logarithm_within_two_ulp():
    rng = np.random.default_rng(0)
    values = np.concatenate([
        rng.random(3000), 2.0 ** -rng.uniform(0, 53, 3000), 1 - 2.0 ** -rng.uniform(1, 53, 2000),
        math.sqrt(0.5) * (1 + 1e-3 * rng.standard_normal(1000)), 2.0 ** -np.arange(1.0, 54.0), [1 - 2.0**-53],
    ])
    values = values[(values > 0) & (values < 1)]
    with localcontext() as context:
        context.prec = 40
        exact = [-Decimal(float(v)).ln() for v in values]
    found = negative_log(values)
    ulps = [abs(Decimal(float(f)) - e) / Decimal(math.ulp(float(f))) for f, e in zip(found, exact, strict=True)]
    assert max(ulps) < 2
    library = np.array([-math.log(v) for v in values])
    assert np.all(np.abs(found - library) <= 2 * np.spacing(library))


@pytest.mark.parametrize(("word", "expected"), [(0, 2.0**-53), (-1, 1 - 2.0**-53)])
def test_extreme_hashes_stay_inside_the_open_interval(monkeypatch, word, expected):
    noise = Noise(0, 0)
    monkeypatch.setattr("otspec.core.noise._mix", lambda bits: np.full_like(bits, word))
    assert noise.uniforms(1)[0] == expected
    assert noise.exponentials(1)[0] > 0
    assert noise.darts(0, 2**18)[0] == (0 if word == 0 else 2**18 - 1)


@pytest.mark.parametrize("axis", ["token", "position", "seed", "stream"])
def test_neighbours_are_uncorrelated_and_uniform(axis):
    index = np.arange(SIZE)
    u = {
        "token": lambda: Noise(0, 0).uniforms(SIZE),
        "position": lambda: Noise(0, index).uniforms(1)[:, 0],
        "seed": lambda: Noise(index, 0).uniforms(1)[:, 0],
        "stream": lambda: np.array([Noise(0, 0).uniforms(1, stream=s)[0] for s in range(5000)]),
    }[axis]()
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    for lag in (1, 2, 64):
        correlation = np.corrcoef(u[:-lag], u[lag:])[0, 1]
        assert abs(correlation) < Z / math.sqrt(u.size)
    assert abs(u.mean() - 0.5) < Z * math.sqrt(1 / 12 / u.size)


def test_exponentials_have_their_law():
    e = Noise(7, np.arange(200)).exponentials(1000).ravel()
    assert stats.kstest(e, "expon").pvalue > 1e-4
    for power, moment, variance in ((1, 1, 1), (2, 2, 20), (3, 6, 684)):
        assert abs((e**power).mean() - moment) < Z * math.sqrt(variance / e.size)


def test_darts_are_uniform_and_independent_of_the_other_lanes():
    noise = Noise(3, np.arange(50))
    token, height = noise.darts(np.arange(4000), 13)
    counts = np.bincount(token.ravel(), minlength=13)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert stats.kstest(height.ravel(), "uniform").pvalue > 1e-4
    for a, b in ((token, height), (height, noise.uniforms(4000)), (token, noise.uniforms(4000)),
                 (height, noise.darts(np.arange(4000), 13, stream=1)[1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < Z / math.sqrt(token.size)


def test_race_has_the_law_of_the_masses():
    law = np.array([0.5, 0.3, 0.15, 0.05])
    winners = (Noise(11, np.arange(SIZE)).exponentials(4) / law).argmin(axis=1)
    assert stats.chisquare(np.bincount(winners, minlength=4), law * SIZE).pvalue > 1e-4


@pytest.mark.parametrize(("seed", "position"), [(0.5, 0), (0, "3"), (np.zeros(2), 0), (0, torch.zeros(2))])
def test_keys_must_be_integers(seed, position):
    with pytest.raises(BadArgument, match="integer"):
        Noise(seed, position)


def test_a_key_that_is_no_integer_is_named():
    for given, said in (((0.5, 0), "seed 0.5, position 0: not integers"), ((0, "3"), "seed 0, position '3': not"),
                        ((np.zeros(2), 0), "seed: dtype float64"), ((0, torch.zeros(2)), "position: dtype float32")):
        with pytest.raises(BadArgument, match=f"^{said}.*Fix"):
            Noise(*given)
    for noise in (Noise(0, 0), Noise(0, np.arange(2)), Noise(0, torch.arange(2))):
        with pytest.raises(BadArgument, match=r"^index: dtype list is not an integer type"):
            noise.darts([1, 2], 5)
    with pytest.raises(BadArgument, match=r"^index: dtype float64 is not an integer type"):
        Noise(0, 0).darts(np.zeros(2), 5)


def test_empty_vocabulary_is_refused():
    with pytest.raises(BadArgument, match="vocabulary"):
        Noise(0, 0).exponentials(0)
