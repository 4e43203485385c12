import numpy as np

from rlp.envs import bodies
from rlp.envs.bodies import Body, body_of


def test_d4rl_scores_are_0_for_random_and_100_for_expert():
    returns = np.array([-20.272305, 3234.3])
    scores = bodies.d4rl_score("gym:Hopper-v4", returns)
    assert scores is not None
    np.testing.assert_allclose(scores, [0, 100], atol=1e-9)
    for env in ("gym:Hopper-v5", "walker-walk", "gym:Hopper-v2+gym:Hopper-v3", ""):
        assert bodies.d4rl_score(env, returns) is None


def test_a_body_is_known_by_any_of_its_tasks():
    assert body_of("walker-walk") == body_of("walker-run+walker-walk") == bodies.BODIES["walker"]
    assert body_of("gym:HalfCheetah-v4").references == (-280.178953, 12135.0)
    assert body_of("gym:HalfCheetah-v4").mirror is None
    assert body_of("quadruped-run") == body_of("gym:Hopping-v4") == body_of("") == Body()


def test_a_mirror_twice_is_no_mirror():
    for body in bodies.BODIES.values():
        for order in body.mirror or ():
            places = np.arange(len(order))
            np.testing.assert_array_equal(places[list(order)][list(order)], places)
