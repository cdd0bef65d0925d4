"""Every sequence has numbers of its own."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.decode.arguments import check_seed
from otspec.decode.streams import sequence_seeds, streams


def test_streams_belong_to_sequences():
    together = [stream.random(3).tolist() for stream in streams(5, 0, 4)]
    alone = [streams(5, place, 1)[0].random(3).tolist() for place in range(4)]
    assert together == alone
    assert len({tuple(numbers) for numbers in together}) == 4
    assert sequence_seeds(5, 2, 2).tolist() == sequence_seeds(5, 0, 4)[2:].tolist()
    # a sum of seed and place would give two runs the same noise
    assert sequence_seeds(0, 1, 1) != sequence_seeds(1, 0, 1)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, None])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(BadArgument, match="seed"):
        check_seed(seed)
    assert check_seed(np.int64(3)) == 3


def test_streams_of_the_largest_seeds_differ():
    first, second = (streams(seed, 0, 1)[0].random() for seed in (2**63 + 1, 2**63 + 2))
    assert first != second


def test_after_the_last_sequence_comes_the_first():
    last, first = streams(5, 2**64 - 1, 2)
    assert first.random() == streams(5, 0, 1)[0].random() != last.random()
    assert sequence_seeds(5, 2**64 - 1, 2)[1] == sequence_seeds(5, 0, 1)[0]


def test_the_largest_seeds_decode():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from otspec.decode.loop import generate
    from tests.decode import tiny

    run = generate(tiny.pair(size=8), [[1], [2]], seed=2**64 - 1, first_sequence=2**64 - 1, max_new_tokens=2)
    assert [len(text) for text in run.tokens] == [2, 2]
