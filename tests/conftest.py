"""Fixtures shared by all tests: a seed from the test's own name, and the array libraries."""

import zlib
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
import torch

# one worker runs on each core, and small tensors lose more to a second thread than they gain
torch.set_num_threads(1)
REFUSES = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses files")


@pytest.fixture
def rng(request):
    """A generator whose seed is the test's identity, so that order and selection change nothing."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(params=["numpy", "strict", "torch"])
def convert(request):
    """A function that moves a NumPy array into one of the three array libraries."""
    return {
        "numpy": np.asarray,
        "strict": lambda a: array_api_strict.asarray(np.ascontiguousarray(a)),
        "torch": lambda a: torch.from_numpy(np.array(a)),
    }[request.param]


def random_law(rng, size, *, zeros=False, ties=False):
    """A random law; integer weights give exact zeros and exact ties."""
    if zeros or ties:
        weights = rng.integers(0 if zeros else 1, 4, size).astype(float)
        weights[rng.integers(size)] += 1.0
    else:
        weights = rng.dirichlet(np.full(size, 10 ** rng.uniform(-1, 1)))
    return weights / weights.sum()
