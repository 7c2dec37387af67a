"""The pool: lanes, seeds, worker processes, and restoring by replaying actions."""

import functools

import numpy as np
import pytest

from rr_scale.envs import suites
from rr_scale.envs.pool import Episode, Pool
from rr_scale.errors import UserError
from stand_ins import make_used

GYMNASIUM = ("Ant-v5", "Hopper-v5", "Humanoid-v5", "Pendulum-v1")
SIMULATED = [name for name in suites.known_names() if "-v" not in name and "probe" not in name]


def seed_of(lane_seed, episode):
    """Any injective rule will do here."""
    return lane_seed * 1000 + episode


def make_pool(name, lane_seeds=(1, 2), workers=0, used=False):
    """A pool; `used` gives its simulators other episodes to forget first."""

    make_env = functools.partial(make_used if used else suites.make, name)
    return Pool(make_env, lane_seeds, seed_of, workers)


def random_actions(spec, number, lanes, seed=0):
    """Actions [number, S, A]."""
    shape = (number, lanes, spec.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def assert_same(left, right):
    """Two pool steps are equal bit for bit."""
    for name, first, second in zip(left._fields, left, right, strict=True):
        if name == "finished":
            assert first == second
        else:
            assert first.dtype == second.dtype
            assert first.tobytes() == second.tobytes(), name


def check_restores_exactly(name, before, after):
    """A restored pool goes on as the original does."""
    original = make_pool(name, lane_seeds=(1,))
    restored = make_pool(name, lane_seeds=(1,), used=True)
    actions = random_actions(original.spec, before + after, 1)
    original.reset()
    for action in actions[:before]:
        original.step(action)
    observation = restored.restore(original.snapshot())
    assert observation.tobytes() == original.snapshot()["observation"].tobytes()
    moved = False
    for action in actions[before:]:
        step = original.step(action)
        assert_same(step, restored.step(action))
        moved = moved or not np.array_equal(step.next_observation, observation)
    assert moved
    for pool in (original, restored):
        pool.close()


@pytest.mark.parametrize("name", SIMULATED)
def test_every_dm_control_task_is_restored_bit_for_bit(name):
    check_restores_exactly(name, before=10, after=10)


@pytest.mark.parametrize("name", GYMNASIUM)
def test_gymnasium_tasks_are_restored_bit_for_bit_across_episodes(name):
    check_restores_exactly(name, before=70, after=70)


def test_an_episode_of_full_length_is_restored_bit_for_bit():
    check_restores_exactly("cheetah-run", before=990, after=20)


def test_all_tasks_but_the_refused_ones_are_covered():
    from dm_control import suite

    assert len(SIMULATED) + len(suites.UNSUPPORTED) == len(suite.ALL_TASKS)


def test_lanes_get_different_episodes_and_equal_seeds_equal_ones():
    pool = make_pool("cheetah-run", lane_seeds=(1, 2, 1))
    observation = pool.reset()
    assert not np.array_equal(observation[0], observation[1])
    np.testing.assert_array_equal(observation[0], observation[2])
    step = pool.step(np.zeros((3, 6), np.float32))
    assert not np.array_equal(step.observation[0], step.observation[1])
    np.testing.assert_array_equal(step.observation[0], step.observation[2])


def test_a_lane_does_not_depend_on_its_neighbours():
    alone, together = make_pool("hopper-hop", (2,)), make_pool("hopper-hop", (1, 2))
    np.testing.assert_array_equal(alone.reset()[0], together.reset()[1])
    for actions in random_actions(alone.spec, 10, 2):
        lone, joint = alone.step(actions[1:]), together.step(actions)
        np.testing.assert_array_equal(lone.observation[0], joint.observation[1])
        assert lone.reward[0] == joint.reward[1]


def test_episodes_of_a_lane_have_the_seeds_of_their_indices():
    asked = []

    def recording(lane_seed, episode):
        asked.append((lane_seed, episode))
        return seed_of(lane_seed, episode)

    pool = Pool(lambda: suites.make("probe-delay"), [5, 6], recording)
    pool.reset()
    for _ in range(4):
        pool.step(np.zeros((2, 1)))
    assert asked == [(5, 0), (6, 0), (5, 1), (6, 1), (5, 2), (6, 2)]


def test_an_end_gives_the_true_successor_and_the_first_observation_of_the_next_episode():
    pool = make_pool("probe-delay", (1, 2))
    np.testing.assert_array_equal(pool.reset(), [[0], [0]])
    first, second = (pool.step(np.zeros((2, 1), np.float32)) for _ in range(2))
    np.testing.assert_array_equal(first.next_observation, [[1], [1]])
    np.testing.assert_array_equal(first.observation, [[1], [1]])
    assert first.finished == []
    np.testing.assert_array_equal(second.next_observation, [[2], [2]])
    np.testing.assert_array_equal(second.observation, [[0], [0]])
    assert second.terminated.tolist() == [True, True]
    assert second.reward.tolist() == [1, 1]
    assert second.finished == [Episode(0, 1.0, 2, None), Episode(1, 1.0, 2, None)]
    assert second.next_observation.dtype == second.reward.dtype == np.float32
    assert second.terminated.dtype == second.truncated.dtype == bool


def test_finished_episodes_report_return_length_and_success_of_the_real_simulator():
    pool = make_pool("Hopper-v5", (1, 2, 3))
    pool.reset()
    returns, lengths, finished = np.zeros(3), np.zeros(3, int), []
    for actions in random_actions(pool.spec, 60, 3):
        step = pool.step(actions)
        returns, lengths = returns + step.reward, lengths + 1
        for episode in step.finished:
            assert step.terminated[episode.lane]
            assert episode.length == lengths[episode.lane]
            assert episode.episode_return == pytest.approx(returns[episode.lane], rel=1e-5)
            assert not np.array_equal(
                step.observation[episode.lane], step.next_observation[episode.lane]
            )
            returns[episode.lane] = lengths[episode.lane] = 0
        finished += step.finished
    assert len(finished) >= 3


@pytest.mark.parametrize(
    ("name", "workers"), [("Hopper-v5", 2), ("cheetah-run", 7), ("probe-observation", 1)]
)
def test_workers_give_the_same_results_as_one_after_another(name, workers):
    seeds = (1, 2, 3)
    plain, parallel = make_pool(name, seeds), make_pool(name, seeds, workers)
    assert plain.spec == parallel.spec
    assert plain.reset().tobytes() == parallel.reset().tobytes()
    actions = random_actions(plain.spec, 80, 3)
    for action in actions[:60]:
        assert_same(plain.step(action), parallel.step(action))
    for pool in (plain, parallel):
        pool.freeze(1)
    for action in actions[60:70]:
        assert_same(plain.step(action), parallel.step(action))
    snapshot = parallel.snapshot()
    for key, value in plain.snapshot().items():
        assert value.dtype == snapshot[key].dtype
        assert value.tobytes() == snapshot[key].tobytes()
    again = make_pool(name, seeds, workers, used=True)
    assert again.restore(snapshot).tobytes() == snapshot["observation"].tobytes()
    for action in actions[70:]:
        assert_same(plain.step(action), again.step(action))
    for pool in (plain, parallel, again):
        pool.close()


def test_workers_notice_a_snapshot_that_is_not_reproduced():
    pool = make_pool("probe-termination", (1, 2), workers=2)
    snapshot = half_way()
    snapshot["observation"][1] = 9
    with pytest.raises(UserError, match="does not reproduce episode 0 of lane 1"):
        pool.restore(snapshot)
    pool.close()


def test_a_snapshot_holds_the_running_episodes_only():
    pool = make_pool("probe-termination", (1, 2))
    pool.reset()
    actions = random_actions(pool.spec, 8, 2)
    for action in actions:
        pool.step(action)
        action[:] = 9  # what the caller does with its array later is no matter
    snapshot = pool.snapshot()
    assert snapshot["episode"].tolist() == [1, 1]
    assert snapshot["steps"].tolist() == [3, 3]
    expected = random_actions(pool.spec, 8, 2)[5:].swapaxes(0, 1).reshape(6, 1)
    np.testing.assert_array_equal(snapshot["actions"], expected)
    restored = make_pool("probe-termination", (1, 2))
    restored.restore(snapshot)
    steps = [restored.step(np.zeros((2, 1))) for _ in range(2)]
    assert steps[1].finished == [Episode(0, 5.0, 5, None), Episode(1, 5.0, 5, None)]


def test_a_snapshot_right_after_a_reset_is_restored():
    pool, restored = make_pool("cheetah-run"), make_pool("cheetah-run")
    first = pool.reset()
    np.testing.assert_array_equal(restored.restore(pool.snapshot()), first)


def test_a_frozen_lane_stays_where_it_is_also_when_restored():
    pool = make_pool("Hopper-v5", (1, 2))
    pool.reset()
    actions = random_actions(pool.spec, 200, 2)
    for action in actions[:7]:
        last = pool.step(action)
    pool.freeze(0)
    for action in actions[7:100]:
        step = pool.step(action)
        np.testing.assert_array_equal(step.observation[0], last.observation[0])
        np.testing.assert_array_equal(step.next_observation[0], last.observation[0])
        assert step.reward[0] == 0
        assert not (step.terminated[0] or step.truncated[0])
        assert all(episode.lane == 1 for episode in step.finished)
    restored = make_pool("Hopper-v5", (1, 2), used=True)
    restored.restore(pool.snapshot())
    assert restored.snapshot()["frozen"].tolist() == [True, False]
    for action in actions[100:]:
        assert_same(pool.step(action), restored.step(action))


def test_freezing_a_lane_leaves_the_others_as_they_are():
    frozen, free = make_pool("cheetah-run", (1, 2)), make_pool("cheetah-run", (1, 2))
    frozen.reset(), free.reset()
    frozen.freeze(0)
    for action in random_actions(free.spec, 10, 2):
        np.testing.assert_array_equal(
            frozen.step(action).observation[1], free.step(action).observation[1]
        )


def half_way():
    pool = make_pool("probe-termination", (1, 2))
    pool.reset()
    for _ in range(3):
        pool.step(np.zeros((2, 1), np.float32))
    return pool.snapshot()


@pytest.mark.parametrize("what", ["observation", "steps"])
def test_a_snapshot_that_is_not_reproduced_is_an_error_naming_the_lane(what):
    snapshot = half_way()
    if what == "observation":
        snapshot["observation"][1] = np.nextafter(snapshot["observation"][1], np.float32(9))
    else:
        snapshot["steps"][1] += 4
        snapshot["actions"] = np.zeros((10, 1), np.float32)
    with pytest.raises(UserError, match="does not reproduce episode 0 of lane 1"):
        make_pool("probe-termination", (1, 2)).restore(snapshot)


def test_a_snapshot_of_other_lanes_is_an_error():
    with pytest.raises(UserError, match=r"\[2, 1\], these have \[3, 1\]"):
        make_pool("probe-termination", (1, 2, 3)).restore(half_way())


def test_a_simulator_seeded_otherwise_is_noticed():
    pool = make_pool("cheetah-run", (1, 2))
    pool.reset()
    with pytest.raises(UserError, match="lane 1"):
        make_pool("cheetah-run", (1, 3)).restore(pool.snapshot())


def test_a_replay_in_which_the_episode_ends_is_an_error_even_if_the_observation_fits():
    pool = make_pool("probe-truncation", (1, 2))
    pool.reset()
    snapshot = pool.snapshot()
    snapshot["steps"][1], snapshot["actions"] = 10, np.zeros((10, 1), np.float32)
    with pytest.raises(UserError, match="does not reproduce episode 0 of lane 1"):
        pool.restore(snapshot)
