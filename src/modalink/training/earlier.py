"""The states in which earlier stages of a run have ended: what later ones begin from, or ask for rewards.

Only what has changed since is read or kept: the checkpoints of those stages, and of what none of them has trained a
copy as it was before the first stage.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from modalink import tensor_files
from modalink.errors import CheckpointError
from modalink.model import ModalinkForConditionalGeneration
from modalink.model.groups import divided
from modalink.recipe import Init, Recipe, Stage
from modalink.runs import checkpoints
from modalink.runs.saved_weights import SavedWeights
from modalink.training.weights import Lender, beginnings, of_critic


@dataclass(frozen=True)
class KeptState:
    """What has changed since an earlier stage, as that stage had left it."""

    init: Init
    found: Mapping[str, Tensor]
    changed_alone: bool = True

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {**self.found}


class EarlierStages:
    """The states in which a run's stages have ended.

    Args:
        recipe: The recipe.
        folder: The run folder.
        model: The model before its first stage; what its stages will change of what they cannot give back is copied.
        lent: What other runs lend to stages by their names.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        model: ModalinkForConditionalGeneration,
        lent: Mapping[str | None, SavedWeights],
    ) -> None:
        self._stages: Sequence[Stage] = recipe.stages
        self._numbers = {stage.name: number for number, stage in enumerate(recipe.stages)}
        self._folder, self._model, self._lent = folder, model, lent
        asked = [self._numbers[name] for stage in recipe.stages for _, name in stage.names_stages()]
        self._fresh: dict[str, Tensor] = {}
        if asked:
            always = set[str]().union(*(self._trained(stage) for stage in recipe.stages[: min(asked) + 1]))
            ever = self._touched(0, len(recipe.stages))
            parameters = dict(model.named_parameters())
            self._fresh = {name: parameters[name].detach().cpu().clone() for name in sorted(ever - always)}

    def beginning(self, stage: Stage) -> Lender | None:
        """What a stage starts from instead of the weights of the stage before.

        Raises:
            CheckpointError: What an earlier stage has kept is not there, or is damaged.
        """
        if stage.init is None or stage.init.source is not None:
            return self._lent.get(stage.name)
        return self._state(stage.init, self._numbers[stage.name])

    def beginning_of_critic(self, stage: Stage) -> Lender | None:
        """What a stage's critic starts from instead of the policy as the stage begins.

        Raises:
            CheckpointError: What an earlier stage has kept is not there, or is damaged.
        """
        critic = stage.of_critic()
        if critic is None or critic.init is None or critic.init.source is not None:
            return self._lent.get(of_critic(stage.name))
        return self._state(critic.init, self._numbers[stage.name] + 1)

    def _state(self, init: Init, end: int) -> KeptState:
        """What stages have changed up to one, left out, since that which an `init` names."""
        first, best = self._numbers[str(init.stage)], init.checkpoint == "best"
        wanted = self._touched(first + 1, end)
        if best:
            wanted |= self._trained(self._stages[first])
        wanted |= {name for group in init.renamed.values() for name in self._names(group)}
        return KeptState(init, self._read(first, wanted, best=best))

    def after(self, name: str, now: Stage) -> dict[str, Tensor]:
        """What differs while a stage is trained from what an earlier one had left, as it was then.

        Args:
            name: The earlier stage.
            now: The stage that is trained.

        Raises:
            CheckpointError: What an earlier stage has kept is not there, or is damaged.
        """
        first = self._numbers[name]
        return self._read(first, self._touched(first + 1, self._numbers[now.name] + 1))

    def _read(self, last: int, wanted: Collection[str], *, best: bool = False) -> dict[str, Tensor]:
        """Parameters as they were after a stage: as the last one up to it has left them that touched them."""
        left, found = {*wanted}, dict[str, Tensor]()

        def take(tensors: Mapping[str, Tensor]) -> None:
            found.update({name: tensor for name, tensor in tensors.items() if name in left})
            left.difference_update(found)

        for number, stage in reversed([*enumerate(self._stages[: last + 1])]):
            if left & self._trained(stage):
                take(self._kept(stage, best=best and number == last))
            if left & self._begun(stage) and (saved := self.beginning(stage)) is not None:
                take(beginnings(self._model, saved))
        take(self._fresh)
        return found

    def _kept(self, stage: Stage, *, best: bool) -> dict[str, Tensor]:
        """What a stage that is done has made of what it trained."""
        folder = self._folder / stage.name / "checkpoints"
        newest = checkpoints.latest(folder, lambda text: None)
        path = checkpoints.best_weights(folder) if best else None if newest is None else newest.result
        if path is None or newest is None or not newest.progress.done:
            which = "best checkpoint (a stage keeps one with evaluate: {keep_best: ...})" if best else "finished one"
            raise CheckpointError(f"{folder}: a later stage asks for what was learned here, and there is no {which}")
        return tensor_files.read(path, CheckpointError)

    def _touched(self, first: int, end: int) -> set[str]:
        """Parameters that stages change, from one up to another that is left out."""
        return set[str]().union(*(self._trained(one) | self._begun(one) for one in self._stages[first:end]))

    def _trained(self, stage: Stage) -> set[str]:
        return set[str]().union(*(self._names(group) for group in stage.of_policy().train))

    def _begun(self, stage: Stage) -> set[str]:
        """Parameters whose values a stage does not take over from the stage before."""
        if stage.init is None:
            return set()
        if stage.init.source is not None:
            return {*beginnings(self._model, self._lent[stage.name])}
        changed = self._touched(self._numbers[str(stage.init.stage)] + 1, self._numbers[stage.name])
        chosen = stage.init.groups
        kept = changed if chosen is None else changed & set[str]().union(*map(self._names, chosen))
        return kept.union(*map(self._names, stage.init.renamed))

    def _names(self, group: str) -> set[str]:
        """The parameters of a group, or of a section of one; none where the system has no such group."""
        return {name for name, _ in divided(self._model.trainable_groups(), [group]).get(group, ())}
