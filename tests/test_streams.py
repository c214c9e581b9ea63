"""A run's examples depend on its seed alone."""

import pytest
import torch

from mmoe_repro.normals import UNIT
from mmoe_repro.streams import TEST_EXAMPLES, Streams, derived, generator
from mmoe_repro.synthetic import SyntheticLaw


def law(**changes):
    return SyntheticLaw(
        **{
            "dimension": 5,
            "c": 1.0,
            "alpha": (2.0,),
            "beta": (0.3,),
            "noise_variance": 0.01,
            "label_variance": None,
            "correlation": 0.5,
            **changes,
        }
    )


def take(streams, *counts):
    """The next examples of all runs, taken so many at a time."""
    drawn = [streams.take(count) for count in counts]
    return torch.cat([x for x, _ in drawn], 1), torch.cat([y for _, y in drawn], 1)


@pytest.mark.parametrize("examples", [None, 70])
def test_examples_do_not_depend_on_how_many_are_taken_at_a_time(examples):
    one = law(examples=examples)
    whole = take(Streams(one, [3, 4]), 160 * UNIT)
    parts = take(Streams(one, [3, 4]), UNIT, 30 * UNIT, 7 * UNIT, 2 * UNIT, 120 * UNIT)
    assert torch.equal(whole[0], parts[0])
    # Labels within rounding: a product of another shape may add up in another order.
    torch.testing.assert_close(whole[1], parts[1])


@pytest.mark.parametrize("examples", [None, 70])
def test_a_runs_examples_do_not_depend_on_the_other_runs(examples):
    one = law(examples=examples)
    together, alone = take(Streams(one, [3, 4, 5]), 160), take(Streams(one, [4]), 160)
    assert torch.equal(together[0][1], alone[0][0])
    torch.testing.assert_close(together[1][1], alone[1][0])


def test_examples_are_those_of_the_law():
    x, y = Streams(law(noise_variance=0.0), [3, 4], torch.float64).take(UNIT)
    for run, seed in enumerate([3, 4]):
        weights = law().weights(generator(seed, "weights"), torch.float64)
        torch.testing.assert_close(y[run], law().signal(x[run], weights))


def test_only_whole_units_are_taken():
    with pytest.raises(ValueError, match="multiple of 16"):
        Streams(law(), [3]).take(UNIT + 1)


@pytest.mark.parametrize("examples", [None, 70])
def test_streams_go_on_from_their_state(examples):
    one = law(examples=examples)
    streams = Streams(one, [3, 4])
    take(streams, 1504)
    state = streams.state_dict()
    ahead = take(streams, 2000)
    again = Streams(one, [3, 4])
    again.load_state_dict(state)
    assert torch.equal(take(again, 2000)[0], ahead[0])


def test_the_same_seed_gives_the_same_x_at_every_correlation():
    x, _ = take(Streams(law(correlation=0.1), [3]), 48)
    assert torch.equal(x, take(Streams(law(correlation=0.9), [3]), 48)[0])


def test_a_finite_set_is_passed_over_in_a_new_order_each_time():
    x = take(Streams(law(examples=40), [3]), 128)[0][0]
    passes = [{tuple(row.tolist()) for row in part} for part in x[:120].split(40)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 40
    assert not torch.equal(x[:40], x[40:80])


@pytest.mark.parametrize("examples", [None, 40])
def test_test_examples_are_fresh_and_always_the_same(examples):
    streams = Streams(law(examples=examples), [3, 4])
    x, y = streams.test_set(1)
    seen, _ = take(streams, 400)
    assert x.shape == (TEST_EXAMPLES, 5)
    assert torch.equal(streams.test_set(1)[1], y)
    assert not torch.equal(streams.test_set(0)[0], x)
    rows = {tuple(row.tolist()) for row in seen[1]}
    assert len(rows) == (examples or 400)
    assert not rows & {tuple(row.tolist()) for row in x}


def test_seeds_and_purposes_give_streams_of_their_own():
    purposes = [("weights", 0), ("examples", 0), ("examples", 1), ("test", 0), ("init", 0)]
    seeds = {derived(seed, *purpose).generate_state(1, "u8")[0] for seed in range(300) for purpose in purposes}
    assert len(seeds) == 1500
    x, y = Streams(law(), [3, 4]).take(UNIT)
    assert not torch.equal(x[0], x[1]) and not torch.equal(y[0], y[1])
