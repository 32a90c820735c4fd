"""Saved weights in trained parameters."""

import torch

from modalink.errors import CheckpointError
from modalink.model.groups import Groups
from modalink.runs.checkpoints import Checkpoint


def load_checkpoint(trained: Groups, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into the trained parameters.

    Raises:
        CheckpointError: Its parameters are not the stage's.
    """
    weights = checkpoint.weights()
    parameters = {name: parameter for members in trained.values() for name, parameter in members}
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise CheckpointError(
            f"{checkpoint.path}: found {len(weights)} parameters, which are not the {len(shapes)} that the stage "
            "trains; a part has changed since the run began: restore it, or choose another run folder"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
