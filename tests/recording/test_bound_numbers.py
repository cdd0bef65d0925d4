"""The measured numbers that the bound promises, read from the files of ``tests.bench.path_bound``."""

import csv
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[1] / "bench" / "results"
# tokens per call of the stateless bound by a prototype on other drafts, with its Monte-Carlo error: T = 1, 64 contexts
PROTOTYPE = {(2, 4): (3.008, 0.012), (4, 4): (3.333, 0.018), (8, 4): (3.595, 0.025), (2, 8): (3.698, 0.018),
             (4, 8): (4.264, 0.028), (8, 8): (4.782, 0.040)}
CONTEXTS = 0.21  # largest error over contexts, which are others than the prototype's


def rows(name):
    lines = (RESULTS / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize(("paths", "length"), PROTOTYPE)
def test_bounds_of_the_pocket_pair(paths, length):
    (row,) = (row for row in rows("path_bound") if (row["kind"], float(row["temperature"]), int(row["num_paths"]),
                                                    int(row["draft_length"])) == ("stateless", 1.0, paths, length))
    value, error = PROTOTYPE[paths, length]
    assert abs(float(row["bound"]) - value) < 2 * (error + float(row["monte_carlo"]) + CONTEXTS / 2)


def test_the_monte_carlo_error_is_small_within_three_minutes():
    (row,) = (row for row in rows("path_bound_samples") if int(row["samples"]) == 256)
    assert (int(row["num_paths"]), int(row["draft_length"]), int(row["contexts"])) == (4, 8, 64)
    assert float(row["monte_carlo"]) <= 0.03
    assert float(row["seconds"]) <= 180


def test_known_cases_on_the_pocket_pair():
    """One path is block verification within errors; one token is the exact optimum."""
    block, token = rows("path_bound_one_path"), rows("path_bound_one_token")
    assert {int(row["draft_length"]) for row in block} == {4, 8}
    assert all(abs(float(row["z"])) < 4 for row in block)
    assert {int(row["num_paths"]) for row in token} == {1, 2, 4, 8}
    assert all(float(row["difference"]) <= 1e-9 for row in token)
