from dataclasses import replace

import numpy as np

from rlp.data import describe
from rlp.data.episodes import Episode, EpisodeSet
from rlp.envs import Bounds


def two_episodes() -> EpisodeSet:
    first = Episode(
        np.zeros((3, 1), np.float32),
        np.array([[1.0], [0.0]], np.float32),
        np.array([1.0, 2.0], np.float32),
        True,
    )
    second = first._replace(observation=np.ones((2, 1), np.float32), terminated=False)
    return EpisodeSet("two", "walker-walk", [first, second], {"made": "by hand", "ends": "stale"})


def test_facts():
    facts = describe.facts(two_episodes())
    assert facts["episodes"] == "2 of 2 steps, 4 steps in all"
    assert facts["ends"] == "1 terminations, 1 time limits; the last successor of 1 is not known"
    assert facts["return"] == "mean 3.0, std 0.0, 3"
    assert facts["reward"] == "mean 1.5, std 0.5, 1 to 2"
    assert facts["saturated"] == "50.0% of actions beyond 0.99"
    assert facts["made"] == "by hand"


def test_an_environment_that_is_not_known_says_what_to_do():
    assert "--env=NAME" in describe.facts(replace(two_episodes(), env=""))["environment"]


def test_the_card_has_every_fact_and_column():
    card = describe.card(two_episodes())
    assert card.startswith("# two\n")
    for fact in describe.facts(two_episodes()).values():
        assert fact in card
    columns = [line.split() for line in card.splitlines()]
    assert ["observation", "0", "0.000", "0.500", "1.000", "0.500"] in columns
    assert ["action", "0", "0.000", "0.500", "1.000", "0.500"] in columns


def test_what_the_data_says_is_shown_as_it_is(episodes: EpisodeSet):
    said = replace(episodes, metadata={"made by": "code of [b]its[/] authors"})
    assert "code of [b]its[/] authors" in describe.card(said)


def test_returns_of_fragments_are_not_told(episodes: EpisodeSet):
    parts = [e._replace(is_fragment=i > 1) for i, e in enumerate(episodes.episodes)]
    found = describe.facts(replace(episodes, episodes=parts))
    assert found["ends"] == "1 terminations, 1 time limits, 2 cuts"
    assert found["return"].startswith(f"mean {episodes.returns[:2].mean():.1f}")
    assert found["return"].endswith("not known of 2 fragments")
    parts = [e._replace(is_fragment=True) for e in parts]
    found = describe.facts(replace(episodes, episodes=parts))
    assert found["return"] == "not known: all episodes are fragments (4)"


def test_what_was_assumed_and_what_is_missing_is_told(episodes: EpisodeSet):
    bounds = Bounds(np.array([-2.0, 0.0]), np.array([2.0, 1.0]))
    odd = replace(episodes, notes=["one", "two"], has_rewards=False, bounds=bounds)
    found = describe.facts(odd)
    assert (found["note 1"], found["note 2"]) == ("one", "two")
    assert found["reward"].startswith("none: only algorithms that clone")
    assert found["return"] == "none"
    assert found["bounds"] == "-1 is -2, 0, 1 is 2, 1 to the environment"
