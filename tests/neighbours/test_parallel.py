"""Floor of parallel decoding: closed forms, the dynamic programme against brute force, and decoders that attain it."""

import math
from itertools import product

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.neighbours.list_tasks import TASKS, list_task, one_step, shuffle_rate, shuffle_schedule
from otspec.neighbours.parallel import Text


def ordered_partitions(positions):
    """Every schedule, written as the step of each position."""
    n = len(positions)
    for steps in product(range(n), repeat=n):
        count = max(steps) + 1
        if set(steps) == set(range(count)):
            yield [[i for i in positions if steps[i] == t] for t in range(count)]


def divergence_of_decoder(law, schedule, law_of_token):
    """KL(law || decoder) outcome by outcome, the decoder's laws given by a function of (token, position, known)."""
    total = 0.0
    for text in np.argwhere(law > 0):
        log_q, known = 0.0, {}
        for step in schedule:
            log_q += sum(math.log(law_of_token(text[i], i, known)) for i in step)
            known |= {i: text[i] for i in step}
        total += law[tuple(text)] * (math.log(law[tuple(text)]) - log_q)
    return total


def exact_conditional(law):
    def of(token, position, known):
        part = law[tuple(known.get(i, slice(None)) for i in range(law.ndim))]
        axis = sum(1 for i in range(position) if i not in known)
        mass = np.moveaxis(part, axis, 0).reshape(part.shape[axis], -1).sum(axis=1)
        return mass[token] / mass.sum()
    return of


@pytest.fixture(scope="module")
def law():
    return np.random.default_rng(0).dirichlet(np.full(81, 0.3)).reshape((3,) * 4)


def test_the_floor_is_the_divergence_of_the_decoder_with_exact_laws(law):
    text = Text.dense(law)
    for schedule in ([[0, 1, 2, 3]], [[2, 0], [1, 3]], [[3], [0, 1, 2]], [[1], [0], [2, 3]], [[0], [1], [2], [3]]):
        exact = divergence_of_decoder(law, schedule, exact_conditional(law))
        assert abs(text.divergence(schedule) - exact) < 1e-12
    assert text.divergence([[3], [0], [2], [1]]) < 1e-12


def test_other_laws_only_do_worse(law):
    exact, schedule = exact_conditional(law), [[2, 0], [1, 3]]
    floor = Text.dense(law).divergence(schedule)
    for share in (0.05, 0.3):
        worse = divergence_of_decoder(law, schedule,
                                      lambda token, i, known, s=share: (1 - s) * exact(token, i, known) + s / 3)
        assert worse > floor + 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_the_best_schedules_are_those_of_brute_force(seed):
    law = np.random.default_rng(seed).dirichlet(np.full(32, 0.4)).reshape((2,) * 5)
    text = Text.dense(law)
    lowest = [math.inf] * 5
    for schedule in ordered_partitions(range(5)):
        lowest[len(schedule) - 1] = min(lowest[len(schedule) - 1], text.divergence(schedule))
    for steps, found in enumerate(text.best_schedules(), 1):
        assert len(found.schedule) == steps
        assert abs(found.divergence - lowest[steps - 1]) < 1e-12
        assert abs(text.divergence(found.schedule) - found.divergence) < 1e-12
        assert abs(ot.parallel_bound(law, steps).divergence - found.divergence) < 1e-12
    assert lowest[1] > 1e-3


def test_a_memoryless_text_costs_nothing_and_a_chain_is_best_decoded_with_gaps():
    free = ot.MarkovModel.memoryless([0.2, 0.3, 0.5]).text_law(4)
    assert ot.parallel_bound(free, 1).divergence < 1e-12
    chain = ot.MarkovModel([[0.9, 0.1], [0.1, 0.9]]).text_law(3)
    best = ot.parallel_bound(chain, 2)
    assert best.schedule == [(1,), (0, 2)]
    assert best.divergence < 1e-12
    assert Text.dense(chain).divergence([[0], [1, 2]]) > 0.1


def test_total_correlation_given_what_is_known():
    text = Text(np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]), np.full(4, 0.25))  # the third is the parity
    assert abs(text.total_correlation([0, 1])) < 1e-12
    assert abs(text.total_correlation([0, 1], given=[2]) - math.log(2)) < 1e-12
    assert abs(text.total_correlation([0, 1, 2]) - math.log(2)) < 1e-12


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_closed_forms_of_list_tasks(name, n):
    text = list_task(name, n)
    assert abs(text.divergence([range(text.length)]) - one_step(name, n)) < 1e-12


def test_the_size_of_the_floors():
    assert one_step("shuffle", 10) == pytest.approx(10 * math.log(10) - math.log(math.factorial(10)))
    assert one_step("replace_random", 10_000) == pytest.approx(1.0, abs=1e-4)
    order = [one_step(name, 12) for name in ("copy", "replace_random", "remove_random", "insert_random", "shuffle")]
    assert order == sorted(order)


def test_insertion_needs_three_steps_and_no_more():
    costs = [bound.divergence for bound in list_task("insert_random", 5).best_schedules()]
    assert min(costs[:2]) > 0.1
    assert max(costs[2:]) < 1e-12


def test_shuffle_schedules_by_size_are_the_best_of_all():
    for steps, bound in enumerate(list_task("shuffle", 6).best_schedules(), 1):
        value, sizes = shuffle_schedule(6, steps)
        assert abs(value - bound.divergence) < 1e-12
        assert sum(sizes) == 6
        assert len(sizes) == steps


def test_equal_steps_are_not_the_best_for_a_shuffle():
    text = list_task("shuffle", 6)
    assert text.divergence([[0, 1, 2, 3], [4, 5]]) < text.divergence([[0, 1, 2], [3, 4, 5]]) - 0.1
    _, sizes = shuffle_schedule(1000, 2)
    assert sizes[0] / 1000 == pytest.approx(1 - 1 / math.e, abs=2e-3)
    for steps in (1, 2, 3, 6):
        assert shuffle_schedule(1000, steps)[0] / 1000 == pytest.approx(shuffle_rate(steps), abs=6e-3)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: ot.parallel_bound([[0.5, 0.0], [0.0, 0.5]], 3), ot.BadArgument, "steps: 3"),
    (lambda: ot.parallel_bound([[0.5, 0.0], [0.0, 0.5]], 0), ot.BadArgument, "steps: 0"),
    (lambda: ot.parallel_bound([[0.5, 0.2], [0.0, 0.5]], 1), ot.NotALaw, "sums to"),
    (lambda: ot.parallel_bound(1.0, 1), ot.NotALaw, "law"),
    (lambda: Text(np.zeros((2, 3)), [0.5, 0.5]), ot.ShapeMismatch, "outcomes"),
    (lambda: Text(np.array([[0], [1]]), [1.0]), ot.ShapeMismatch, "law"),
    (lambda: Text(np.array([[0], [0]]), [0.5, 0.5]), ot.BadArgument, "twice"),
    (lambda: Text.dense(np.full((2, 2), 0.25)).divergence([[0]]), ot.BadArgument, "schedule"),
    (lambda: Text.dense(np.full((2, 2), 0.25)).divergence([[0, 1], []]), ot.BadArgument, "schedule"),
    (lambda: Text(np.arange(13)[None], [1.0]).best_schedules(), ot.TooLarge, "13"),
    (lambda: list_task("sort", 4), ot.UnknownName, "sort"),
    (lambda: list_task("copy", 1), ot.BadArgument, "n: "),
    (lambda: list_task("shuffle", 12), ot.TooLarge, "orders"),
    (lambda: shuffle_schedule(3, 4), ot.BadArgument, "steps"),
], ids=["steps 3", "steps 0", "no law", "a number", "floats", "masses", "twice", "partition", "empty step", "positions",
        "task", "one item", "orders", "more steps"])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("law", "error", "says"), [
    (np.full((2, 2), 0.25, dtype=np.float16), ot.NotALaw, "float16 is refused"),
    (np.array([[True, False], [False, False]]), ot.NotALaw, "bool"),
    (np.full((2, 2), 0.25, dtype=complex), ot.NotALaw, "complex128"),
    ([[0.5, 0.5], [1.0]], ot.NotALaw, "rows of one length"), ("ab", ot.NotALaw, "str is not an array"),
    (None, ot.NotALaw, "NoneType is not an array"), (0.5, ot.NotALaw, "law: a number"),
    (torch.full((2, 2), 0.25, requires_grad=True), ot.BadArgument, "requires gradients")], ids=str)
def test_what_is_no_joint_law_is_named(law, error, says):
    with pytest.raises(error, match=says):
        ot.parallel_bound(law, 1)
