"""Proof that what should learn does learn: every trained group must receive a gradient."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.model.groups import Groups
from modalink.recipe.groups import JOIN, NEW_TOKENS, Group
from modalink.training.objectives import ObjectiveConfig

PATIENCE = 20
"""Steps that could have given a group a gradient and did not, before that is an error.

One such step proves nothing: an image may stand behind the last labelled token.
"""


class GradientWatch:
    """Notes which trained parameters have received a gradient since the stage began.

    Args:
        trained: The trained groups.
        objectives: What the stage minimises: a batch is a chance for the groups that one of them teaches with it.
    """

    def __init__(self, trained: Groups, objectives: Sequence[ObjectiveConfig]) -> None:
        self.trained, self.objectives = trained, objectives
        self.received: set[str] = set()
        self.chances = dict.fromkeys(trained, 0)

    def state_dict(self) -> dict[str, Any]:
        """What was noted so far, as JSON data."""
        return {"received": sorted(self.received), "chances": self.chances}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.received = set(state["received"])
        self.chances = dict(state["chances"])

    def chances_in(self, batches: Iterable[Batch]) -> list[bool]:
        """For each trained group, whether these batches could give it a gradient."""
        batches = list(batches)
        return [any(self._has_chance(Group(group), batch) for batch in batches) for group in self.trained]

    def _has_chance(self, group: Group, batch: Batch) -> bool:
        taught = any(objective.teaches(group) and objective.count(batch) for objective in self.objectives)
        return taught and _concerns(group, batch)

    def note(self, chances: Iterable[bool], norms: Mapping[str, float]) -> None:
        """Look at the gradients of a step.

        Args:
            chances: For each trained group, whether the step could give it a gradient.
            norms: Gradient norm of each group.

        Raises:
            TrainingError: A group had `PATIENCE` chances and received nothing.
        """
        for (group, members), chance in zip(self.trained.items(), chances, strict=True):
            if norms[group] > 0:
                self.received |= {name for name, parameter in members if parameter.grad is not None}
            self.chances[group] += chance
            if self.chances[group] == PATIENCE:
                self._demand(group, f"in {PATIENCE} steps whose samples concern it")

    def finish(self) -> None:
        """Demand a gradient of every group.

        Raises:
            TrainingError: A group received none in the whole stage.
        """
        for group, chances in self.chances.items():
            self._demand(group, "in the whole stage" + ("" if chances else ", no sample of which concerns it"))

    def unused(self) -> dict[str, list[str]]:
        """Parameters that have received nothing so far, by group; groups without such are left out."""
        found = {group: self._missing(group) for group in self.trained}
        return {group: names for group, names in found.items() if names}

    def _missing(self, group: str) -> list[str]:
        return [name for name, _ in self.trained[group] if name not in self.received]

    def _demand(self, group: str, when: str) -> None:
        missing = self._missing(group)
        # A pretrained network may hold layers that nobody reads; a link is made for this system and is read whole.
        if missing and (Group(group).is_link or len(missing) == len(self.trained[group])):
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise TrainingError(
                f"{group} should train, but {len(missing)} of its {len(self.trained[group])} tensors ({some}) received "
                f"no gradient {when}; give the stage an objective and data that reach it, or take it out of its train"
            )


def _concerns(group: Group, batch: Batch) -> bool:
    if group.side == "inputs":
        return group.modality in batch.items
    if group.side == "outputs":
        targets = batch.targets.get(group.modality or "")
        return targets is not None and bool(targets.learned)
    if group == JOIN:
        return bool(batch.items)
    return group != NEW_TOKENS or bool(batch.targets)
