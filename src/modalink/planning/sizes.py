"""How large a system is, and how much of it learns in each stage, counted without weights."""

from dataclasses import dataclass

from modalink.model import ModalinkForConditionalGeneration, skeleton
from modalink.model.groups import Groups
from modalink.recipe import Recipe, Stage
from modalink.training.freezing import freeze, needs_of


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters.

    Args:
        parts: Of each part, by the names of train groups; of generators only denoisers that can be trained are counted.
        trained: Of what learns in each stage, by the stage's name and the groups that it trains, `critic.` before
            those of a critic of its own.
    """

    parts: dict[str, int]
    trained: dict[str, dict[str, int]]

    @property
    def total(self) -> int:
        """Of the whole system without what of generators is always frozen."""
        return sum(self.parts.values())

    @property
    def trainable(self) -> dict[str, int]:
        """Of all that learns, by stage."""
        return {stage: sum(groups.values()) for stage, groups in self.trained.items()}


def sizes(recipe: Recipe) -> Sizes:
    """Count a recipe's parameters.

    Of what a stage names, what its objectives never read does not learn and is not counted: the heads of a Q-Former
    that only captions teach, in a stage without captions.

    Raises:
        PartError: A part cannot be built, or the architecture of a checkpoint is not known and not at hand.
    """
    model = skeleton(recipe)
    groups = model.trainable_groups()
    return Sizes(_counted(groups), {stage.name: _learning(model, groups, stage) for stage in recipe.stages})


def _learning(model: ModalinkForConditionalGeneration, groups: Groups, stage: Stage) -> dict[str, int]:
    """What learns in a stage, the weights of a critic of its own among it."""
    policy, critic = stage.of_policy(), stage.of_critic()
    found = _counted(freeze(model, groups, policy.train, needs_of(policy)))
    if critic is not None:
        own = _counted(freeze(model, groups, critic.train, needs_of(critic)))
        found |= {f"critic.{group}": count for group, count in own.items()}
    return found


def _counted(groups: Groups) -> dict[str, int]:
    return {name: sum(parameter.numel() for _, parameter in members) for name, members in groups.items()}
