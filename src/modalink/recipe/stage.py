"""One stage of training, as a recipe describes it."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from modalink.conversation import Conversation
from modalink.errors import RecipeError
from modalink.kinds import KindConfig, Name, Settings
from modalink.recipe.errors import Problem, Problems
from modalink.recipe.evaluation import DataSource, Evaluation
from modalink.recipe.kind_field import Kinds
from modalink.recipe.system import SystemSpec
from modalink.yaml_files import Loc

Share = Annotated[float, Field(ge=0, le=1)]
# The classes of these live in rooms above this one.
Objective = Annotated[Any, Kinds("modalink.training.objectives")]
Optimizer = Annotated[Any, Kinds("modalink.training.optimizers", default="adamw")]

_MOVED = {
    "condition_dropout": "belongs to its objective now: objectives: [{kind: diffusion, condition_dropout: 0.1}]",
}


class TrainGroup(Settings):
    """How one group of parameters learns."""

    lr: PositiveFloat
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay; vectors (biases, norms, gates) have none."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each block of the group to the block before it: below 1, blocks near the input
    learn less (Qwen-VL's encoder: 0.95)."""


class Init(Settings):
    """Weights to start from: those of another run, or those that an earlier stage of the same run has left."""

    model_config = ConfigDict(serialize_by_alias=True)
    source: str | None = Field(default=None, alias="from")
    """A run folder, or a folder of a saved system; left out, the run itself as it was after its earlier `stage`."""
    stage: Name | None = None
    """Last stage of the run that counts; None takes them all."""
    checkpoint: Literal["latest", "best"] = "latest"
    """Of that last stage: where it stands, or the best that its evaluation kept."""
    groups: Annotated[list[str], Field(min_length=1)] | None = None
    """Parameter groups that are taken; None takes all that were saved there."""
    renamed: dict[str, str] = Field(default_factory=dict)
    """Groups that take the weights of a group of another name there: {llm.value_head: llm.reward_head}."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.source is None and self.stage is None:
            raise ValueError("says not what it starts from: from: a run, or stage: an earlier stage of this recipe")
        return self

    @property
    def origin(self) -> str:
        """What it starts from, in words."""
        return f"init from {self.source}" if self.source is not None else f"init from the stage {self.stage}"


class Stage(KindConfig):
    """One training step of the pipeline: what learns, from what, to minimise what; what all kinds of stage share."""

    room: ClassVar[str] = "modalink.training.stages"
    dropout: ClassVar[bool] = True
    """Whether what learns drops some of its values; not where the same tokens must have the same probability twice."""
    makes_samples: ClassVar[bool] = False
    """Whether it makes what it learns from by itself, so that nothing comes again."""
    samples_media: ClassVar[bool] = False
    """Whether it makes the media of its samples' replies by itself, and has them judged; of prompts without a reply it
    makes that, too."""
    keeps_start: ClassVar[bool] = False
    """Whether objectives may measure by the state in which it began (`reference_logprobs`)."""

    name: Name
    """Name of its folder in the run."""
    init: Init | None = None
    """What it starts from instead of the weights of the stage before: those of another run (`from`), or those that an
    earlier stage of this recipe has left (`stage`)."""
    train: Annotated[dict[str, TrainGroup], Field(min_length=1)]
    """Parameter group -> how it learns; all other groups are frozen."""
    optimizer: Optimizer = Field(default={}, validate_default=True)
    """What updates the trained groups."""
    objectives: Annotated[list[Objective], Field(min_length=1)]
    """What is minimised: the weighted sum."""
    data: Annotated[list[DataSource], Field(min_length=1)]
    """Where the conversations come from."""
    mixture: Literal["concatenate", "ratio", "sqrt"] = "concatenate"
    """How sources mix: one after the other's size, by their `weight`, or by the square root of their size."""
    batch: Annotated[int, Field(ge=1, le=2**20)]
    """Conversations a step, over all devices and accumulated micro-batches."""
    micro_batch: PositiveInt | None = None
    """Conversations in one forward pass; None takes the whole batch."""
    micro_tokens: PositiveInt | None = None
    """Tokens in one forward pass, instead of `micro_batch`: as many conversations of the batch as they hold, at least
    one. Padding counts where an LLM cannot read conversations packed."""
    epochs: PositiveFloat | None = None
    """Length as passes over the data; either this or `steps`."""
    steps: PositiveInt | None = None
    """Length in optimizer steps; either this or `epochs`."""
    warmup: Annotated[float, Field(ge=0)] = 0.03
    """Linear warm-up: below 1 a share of the stage's steps, from 1 on a number of steps."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rates after warm-up."""
    min_lr: Share = 0.0
    """Where the schedule ends, as a share of the peak."""
    clip: PositiveFloat | None = 1.0
    """Largest norm of the gradient over all parameters; None does not clip."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of what learns, for example 0.999: at each step the average keeps this
    share of itself, and less in the first steps. It is what is evaluated, saved and handed to the next stage; None
    takes the last weights."""
    image_size: dict[Name, PositiveInt] = Field(default_factory=dict)
    """Modality -> side in pixels of the images that its encoder reads in this stage, if not the system's: a system may
    see small images first. The system is saved with its own side, which its last stage has."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; `auto` times a step in each and keeps the faster."""
    max_tokens: PositiveInt = 2048
    """Longest conversation in tokens; longer text is cut (and written in the ledger), media tokens never."""
    on_bad_sample: Literal["skip", "fail"] = "skip"
    """What a sample that cannot be read does: a line in the ledger, or the end of the run."""
    checkpoint_every: PositiveInt = 500
    """Steps between checkpoints; the last step always makes one."""
    evaluate: Evaluation | None = None
    """What it is measured by while it learns; None measures nothing."""

    def with_batch(self, size: int) -> Self:
        """The same with another batch, which one forward pass takes."""
        return self.replace(batch=size, micro_batch=None)

    def names_stages(self) -> Iterator[tuple[Loc, str]]:
        """The earlier stages of the recipe whose weights it asks for, each by the key that names it."""
        if self.init is not None and self.init.source is None and self.init.stage is not None:
            yield ("init", "stage"), self.init.stage

    def of_policy(self) -> "Stage":
        """What the system that it hands on learns in it: all of it, if a critic of its own does not learn a part."""
        return self

    def of_critic(self) -> "Stage | None":
        """What a critic that is a model of its own learns in it, and starts from; None where there is none."""
        return None

    def shown(self, conversation: Conversation, spec: SystemSpec) -> Conversation:
        """A conversation as the stage shows it to the system: as it is, if a kind does not say otherwise.

        Args:
            conversation: The conversation.
            spec: The parts of the system.

        Raises:
            SampleError: It lacks what the kind would show of it.
        """
        return conversation

    def small(self) -> dict[str, Any]:
        """What a kind changes of its own settings in a recipe's tiny form."""
        return {}

    @model_validator(mode="before")
    @classmethod
    def _keys_that_moved(cls, data: Any) -> Any:
        moved = [key for key in _MOVED if isinstance(data, dict) and key in data]
        if moved:
            raise Problems([Problem((key,), f"{key} {_MOVED[key]}") for key in moved])
        return data

    @model_validator(mode="after")
    def _lengths_fit(self) -> "Stage":
        if (self.epochs is None) == (self.steps is None):
            raise RecipeError(f"found epochs {self.epochs} and steps {self.steps}, needed exactly one of the two")
        if self.micro_batch is not None and self.batch % self.micro_batch:
            raise RecipeError(f"micro_batch {self.micro_batch} does not divide batch {self.batch}")
        if self.micro_batch is not None and self.micro_tokens is not None:
            found = f"micro_batch {self.micro_batch} and micro_tokens {self.micro_tokens}"
            raise RecipeError(f"found {found}, needed at most one of the two")
        if self.warmup >= 1 and self.steps is not None and self.warmup > self.steps:
            raise RecipeError(f"warmup of {self.warmup:g} steps is longer than the stage's {self.steps} steps")
        return self
