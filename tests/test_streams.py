"""A run's examples depend on its seed alone."""

import pytest
import torch

from mmoe_repro.streams import BLOCK, TEST_EXAMPLES, Stream, derived_seed
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


def take(stream, *counts):
    drawn = []
    for count in counts:
        x, y = torch.empty(count, 5), torch.empty(count, 2)
        stream.take_into(x, y)
        drawn.append((x, y))
    return torch.cat([x for x, _ in drawn]), torch.cat([y for _, y in drawn])


@pytest.mark.parametrize("examples", [None, 70])
def test_examples_do_not_depend_on_the_batches(examples):
    one = law(examples=examples)
    whole = take(Stream(one, 3), 3 * BLOCK)
    parts = take(Stream(one, 3), 1, 30, 7, BLOCK, 2 * BLOCK - 38)
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


@pytest.mark.parametrize("examples", [None, 70])
def test_a_stream_goes_on_from_its_state(examples):
    one = law(examples=examples)
    stream = Stream(one, 3)
    take(stream, 1500)
    state = stream.state_dict()
    ahead = take(stream, 2000)
    again = Stream(one, 3)
    again.load_state_dict(state)
    assert torch.equal(take(again, 2000)[0], ahead[0])


def test_the_same_seed_gives_the_same_x_at_every_correlation():
    assert torch.equal(take(Stream(law(correlation=0.1), 3), 50)[0], take(Stream(law(correlation=0.9), 3), 50)[0])


def test_a_finite_set_is_passed_over_in_a_new_order_each_time():
    x, _ = take(Stream(law(examples=40), 3), 120)
    passes = [{tuple(row.tolist()) for row in part} for part in x.split(40)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 40
    assert not torch.equal(x[:40], x[40:80])


def test_test_examples_are_fresh_and_always_the_same():
    stream = Stream(law(examples=40), 3)
    x, y = stream.test_set()
    take(stream, 100)
    assert x.shape == (TEST_EXAMPLES, 5)
    assert torch.equal(stream.test_set()[1], y)
    seen = {tuple(row.tolist()) for row in take(stream, 40)[0]}
    assert not seen & {tuple(row.tolist()) for row in x}


def test_seeds_and_purposes_give_streams_of_their_own():
    seeds = {derived_seed(seed, purpose) for seed in range(300) for purpose in ("weights", "examples", "test", "init")}
    assert len(seeds) == 1200
    assert not torch.equal(take(Stream(law(), 3), 10)[0], take(Stream(law(), 4), 10)[0])
