"""A run's examples depend on its seed alone."""

import pytest
import torch

from mmoe_repro.data.normals import UNIT
from mmoe_repro.data.seeds import derived, generator
from mmoe_repro.data.streams import TEST_EXAMPLES, Streams
from mmoe_repro.data.synthetic import SyntheticLaw


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
            "examples": None,
            "tasks": 2,
            **changes,
        }
    )


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]


def take(streams, blocks):
    """The next examples of all runs."""
    drawn = [tuple(part.clone().cpu() for part in streams.take()) for _ in range(blocks)]
    return torch.cat([x for x, _ in drawn], 1), torch.cat([y for _, y in drawn], 1)


@pytest.mark.parametrize("examples", [None, 70])
def test_examples_do_not_depend_on_the_size_of_a_block(examples):
    one = law(examples=examples)
    whole, parts = take(Streams(one, [3, 4], 60 * UNIT), 1), take(Streams(one, [3, 4], 4 * UNIT), 15)
    # Within rounding: a function of more numbers at once may round some of them in another way.
    torch.testing.assert_close(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("examples", [None, 70])
def test_a_runs_examples_do_not_depend_on_the_other_runs(examples, device):
    one = law(examples=examples)
    together, alone = (take(Streams(one, seeds, UNIT, device=device), 10) for seeds in ([3, 4, 5], [4]))
    assert torch.equal(together[0][1], alone[0][0])
    torch.testing.assert_close(together[1][1], alone[1][0])


@pytest.mark.parametrize("device", DEVICES)
def test_examples_are_those_of_the_law(device):
    x, y = take(Streams(law(noise_variance=0.0), [3, 4], UNIT, torch.float64, device), 1)
    for run, seed in enumerate([3, 4]):
        weights = law().weights(generator(seed, "weights"), torch.float64)
        torch.testing.assert_close(y[run], law().signal(x[run], weights))


def test_blocks_are_of_whole_units():
    with pytest.raises(ValueError, match="multiple of 16"):
        Streams(law(), [3], UNIT + 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("examples", [None, 70])
def test_streams_go_on_from_their_state(examples, device):
    one = law(examples=examples)
    streams, again = (Streams(one, [3, 4], 2 * UNIT, device=device) for _ in range(2))
    take(streams, 50)
    again.load_state_dict(streams.state_dict())
    for continued, gone_on in zip(take(again, 60), take(streams, 60), strict=True):
        assert torch.equal(continued, gone_on)


def test_the_same_seed_gives_the_same_x_at_every_correlation():
    x, other = (take(Streams(law(correlation=p), [3], UNIT), 3)[0] for p in (0.1, 0.9))
    assert torch.equal(x, other)


def test_a_finite_set_is_passed_over_in_a_new_order_each_time():
    x = take(Streams(law(examples=40), [3], UNIT), 8)[0][0]
    passes = [{tuple(row.tolist()) for row in part} for part in x[:120].split(40)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 40
    assert not torch.equal(x[:40], x[40:80])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("examples", [None, 40])
def test_test_examples_are_fresh_and_always_the_same(examples, device):
    streams = Streams(law(examples=examples), [3, 4], 25 * UNIT, device=device)
    x, y = streams.test_set(1)
    seen, _ = take(streams, 1)
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
    x, y = Streams(law(), [3, 4], UNIT).take()
    assert not torch.equal(x[0], x[1]) and not torch.equal(y[0], y[1])
