"""Any Hugging Face causal LM or encoder-decoder, with the join by which media meet it, and what learns in it."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from modalink import hub, json_files
from modalink.adapters.lora import LoraSpec, add_lora
from modalink.errors import PartError
from modalink.llms._delta import add_base
from modalink.llms._quantized import Quantised, settings, settle_rounded
from modalink.llms._vocabulary import Vocabulary
from modalink.llms._wholes import ADDED_ROWS, NAMES, REST, add_rows, added_rows, language_config
from modalink.llms.peft.lora import LoraPeftConfig
from modalink.recipe.kind_field import Kinds
from modalink.roles import JoinConfig, LlmConfig, PeftConfig


class PretrainedLlmConfig(LlmConfig):
    """An LLM from a checkpoint."""

    kind: Literal["pretrained"] = "pretrained"
    delta: str | None = None
    """Checkpoint of a difference to `checkpoint`'s weights, which is added to them; configuration and tokenizer are its
    own. Vicuna v0 and v1.1 were published so."""
    delta_revision: str | None = None
    """Commit or tag of a hub difference."""
    vocabulary: Vocabulary | None = None
    """Tokens that another checkpoint added to it, with the table of embeddings that was trained there."""
    join: Annotated[JoinConfig, Kinds(JoinConfig.room, named=True)] = Field(
        default=cast(JoinConfig, "splice"), validate_default=True
    )
    """How media meet the LLM: a kind by its name alone, or with settings."""
    lora: LoraSpec | None = None
    """Adapters, trained in the stages that name `llm.lora`: short for `peft: {kind: lora, ...}`."""
    peft: Annotated[PeftConfig, Kinds(PeftConfig.room, named=True)] | None = None
    """What learns in the frozen LLM, of any kind; LoRA is trained as `llm.lora`, the others as `llm.peft`."""

    quantize: Quantised | None = None
    """What the frozen LLM's linear layers are rounded to when it is loaded: `nf4`, 4 bits a weight (QLoRA, arXiv
    2305.14314), or `int8` (arXiv 2208.07339). Only what stands beside them learns, such as `lora`."""
    reward_head: bool = False
    """A head on the LLM's state at the last token that says what a reply is worth; reward models have one."""
    value_head: bool = False
    """A head on the LLM's states that says what is expected of a reply from a token on, which PPO learns beside it."""
    prefix_lm: bool = False
    """Whether the tokens before the last reply see each other in both directions, and that reply alone is learned: for
    an LLM that was trained so, as ChatGLM-6B."""

    @model_validator(mode="after")
    def _one_kind(self) -> "PretrainedLlmConfig":
        if self.lora is not None and self.peft is not None:
            raise ValueError("found lora and peft, of which the first is short for peft: {kind: lora}; leave one out")
        if self.quantize is not None and self.delta is not None:
            raise ValueError("found quantize and delta, which is added to whole weights; add it first, see delta")
        return self

    @property
    def quantised(self) -> str | None:
        return self.quantize

    @property
    def reads_both_ways(self) -> bool:
        return self.prefix_lm

    @property
    def has_reward_head(self) -> bool:
        return self.reward_head

    @property
    def has_value_head(self) -> bool:
        return self.value_head

    @property
    def adapters(self) -> PeftConfig | None:
        if self.lora is None:
            return self.peft
        return LoraPeftConfig.model_validate(self.lora.model_dump())

    def tiny(self) -> "PretrainedLlmConfig":
        """The zoo's LLM of the same kind, a decoder or an encoder-decoder, with a join and adapters of its size."""
        name, family = ("t5", "t5") if self._encoder_decoder() else ("llm", "llama")
        lora = None if self.lora is None else self.lora.tiny(family)
        peft = self.peft.tiny(family) if isinstance(self.peft, LoraPeftConfig) else self.peft and self.peft.tiny()
        whole = {"delta": None, "delta_revision": None, "quantize": None, "vocabulary": None}
        return self.from_zoo(name, join=self.join.tiny(), lora=lora, peft=peft, **whole)

    def _encoder_decoder(self) -> bool:
        """Whether it is known to be one; a checkpoint that is not at hand counts as a decoder."""
        try:
            return bool(self.architecture().is_encoder_decoder)
        except PartError:
            return False

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        known = self.vocabulary
        return self._weights() + (() if known is None else ((known.checkpoint, known.revision),))

    def _weights(self) -> tuple[tuple[str, str | None], ...]:
        """The checkpoints whose weights are added up."""
        return super().checkpoints() + (() if self.delta is None else ((self.delta, self.delta_revision),))

    @property
    def _described(self) -> tuple[str, str | None]:
        """The checkpoint whose configuration and tokenizer are the LLM's, and its revision."""
        return self._weights()[-1]

    def architecture(self) -> PreTrainedConfig:
        """The checkpoint's `PreTrainedConfig`; of a whole model, such as LLaVA, that of the language model in it.

        Raises:
            PartError: It is absent, or no language model.
        """
        found = language_config(hub.architecture(*self._described))
        if not isinstance(getattr(found.get_text_config(decoder=True), "vocab_size", None), int):
            raise PartError(
                f"llm {self.checkpoint}: found a model of type {found.model_type!r}, needed a language model"
            )
        return found if self.vocabulary is None else self.vocabulary.described(found)

    def as_built(self, llm: PreTrainedModel) -> "PretrainedLlmConfig":
        """With the names of the layers that got adapters."""
        if self.peft is not None:
            return self.replace(peft=self.peft.as_built(llm))
        return self if self.lora is None else self.replace(lora=self.lora.of(llm))

    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer.

        Raises:
            PartError: It reports no character offsets, without which labels cannot be placed.
        """
        folder = hub.locate(*self._described)
        tokenizer = hub.read(AutoTokenizer, folder)
        if not tokenizer.chat_template and (kept := folder / "chat_template.json").is_file():
            # Where processors kept it before there was a chat_template.jinja.
            tokenizer.chat_template = json_files.read(kept, PartError, dict[str, Any]).get("chat_template")
        if not tokenizer.is_fast:
            raise PartError(
                f"llm {self.checkpoint}: its tokenizer {type(tokenizer).__name__} reports no character offsets; "
                "save a tokenizer.json beside it (tokenizers library) or choose another checkpoint"
            )
        if self.vocabulary is not None:
            self.vocabulary.add_to(tokenizer)
        return tokenizer

    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM, frozen except for its adapters.

        Raises:
            PartError: The checkpoint cannot be loaded strictly, or adapters find no place in it.
            MissingExtraError: It is to be quantised, and bitsandbytes is not installed.
        """
        architecture = self.architecture()
        auto = AutoModelForSeq2SeqLM if architecture.is_encoder_decoder else AutoModelForCausalLM
        if weights:
            loaded = [self._loaded(auto, name, revision) for name, revision in self._weights()]
            llm = loaded[-1]
            if self.delta is not None:
                add_base(llm, loaded[0], self.delta, self.checkpoint)
            if self.vocabulary is not None:
                self.vocabulary.put_into(llm, self.checkpoint)
        else:
            with hub.building(f"llm {self.checkpoint}: its architecture cannot be built"):
                llm = auto.from_config(architecture, trust_remote_code=False)
        llm.requires_grad_(False)
        if weights and self.quantize is not None:
            settle_rounded(llm)
        if self.lora is not None:
            add_lora(llm, self.lora, self.checkpoint)
        elif self.peft is not None:
            self.peft.put_into(llm, self.checkpoint)
        return llm.eval()

    def _loaded(self, auto: Any, checkpoint: str, revision: str | None) -> PreTrainedModel:
        """The language model in a checkpoint, with its weights."""
        options = self._in_a_whole(checkpoint, revision)
        if self.quantize is not None:
            options["quantization_config"] = settings(self.quantize)
        if added := added_rows(hub.architecture(checkpoint, revision)):
            options["config"].vocab_size -= added
        llm: PreTrainedModel = hub.load(auto, checkpoint, revision=revision, dtype=self.dtype, **options)
        if added:
            add_rows(llm, hub.tensors(checkpoint, names=ADDED_ROWS, revision=revision), added, checkpoint)
        return llm

    def _in_a_whole(self, checkpoint: str, revision: str | None) -> dict[str, Any]:
        """How the weights of a language model are found in the checkpoint of a whole model."""
        whole = hub.architecture(checkpoint, revision)
        config = language_config(whole)
        if config.model_type == whole.model_type:
            return {}
        return {"config": config, "key_mapping": NAMES, "allow_unexpected": REST}
