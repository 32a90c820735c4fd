"""The kit for rewards: a new one needs a test of one line."""

import math
from collections.abc import Sequence
from dataclasses import replace

from modalink.conversation import Conversation, Text, Turn
from modalink.rewards import Answered, Judgement, Reward, RewardConfig
from modalink.testing.requirements import check_settings, require

_QUESTION = Conversation((Turn("user", (Text("How many cubes are there?"),)),), "kit")


def check_reward(config: RewardConfig, answers: Sequence[Answered], *, right: int = 0, wrong: int = -1) -> None:
    """Prove that a reward gives finite numbers or says why not, the same each time, and more for a better reply.

    Args:
        config: Its settings, with a tiny local checkpoint where it has one.
        answers: Replies that it can judge, at least two.
        right: Which of them is worth more than the wrong one.
        wrong: Which is worth less.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    require(len(answers) >= 2, "the kit needs two replies at least")
    reward = config.build()
    require(isinstance(reward, Reward), "build must give a Reward")
    require(reward.judge([]) == [], "no replies must have no judgements")
    judged = _judged(reward, answers)
    values = [judgement.value for judgement in judged]
    require(None not in values, f"the kit needs replies that can be judged: {[j.why for j in judged]}")
    require(_judged(reward, answers) == judged, "the same replies must be judged alike each time")
    require(_judged(config.build(), answers) == judged, "a reward that is built anew must judge alike")
    best, worst = values[right], values[wrong]
    assert best is not None and worst is not None
    require(best > worst, f"the right reply must be worth more than the wrong one, found {best:g} and {worst:g}")
    if config.alone:
        backwards = _judged(reward, answers[::-1])[::-1]
        require(_close(backwards, judged), "a reply's score must not depend on its place")
        require(_close([_judged(reward, [one])[0] for one in answers], judged), "a reply alone must be judged alike")
    empty = replace(answers[right], reply=(Text(""),))
    require(len(_judged(reward, [empty, answers[right]])) == 2, "a reply without words must be judged too")
    _judged(reward, [Answered(_QUESTION, (Text("Two."),)), answers[right]])


def _judged(reward: Reward, answers: Sequence[Answered]) -> list[Judgement]:
    judged = reward.judge(answers)
    require(len(judged) == len(answers), f"found {len(judged)} judgements for {len(answers)} replies")
    for judgement in judged:
        require(isinstance(judgement, Judgement), f"a reward must give Judgements, found {type(judgement).__name__}")
        said = judgement.value is not None or bool(judgement.why)
        require(said, "a reward that gives no score must say why")
        require(judgement.applies or judgement.value is None, "a reward that does not apply must give no score")
    return judged


def _close(found: Sequence[Judgement], expected: Sequence[Judgement]) -> bool:
    pairs = [(one.value, other.value) for one, other in zip(found, expected, strict=True)]
    return all(a is b if a is None or b is None else math.isclose(a, b, abs_tol=1e-4) for a, b in pairs)
