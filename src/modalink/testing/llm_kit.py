"""What every LLM must do."""

from transformers import PreTrainedTokenizerBase

from modalink.adapters import ADAPTER
from modalink.llms import Fit, fit_of
from modalink.llms._probe import REFUSED
from modalink.roles import LlmConfig
from modalink.testing.requirements import check_settings, require


def check_llm(config: LlmConfig) -> Fit:
    """Prove that an LLM plays its role; an AssertionError names the obligation that it breaks.

    Args:
        config: Its settings, of a checkpoint that is there.

    Returns:
        How it is run: whether it packs, pads and spans.
    """
    check_settings(config)
    llm, tokenizer = config.build(), config.tokenizer()
    require(isinstance(tokenizer, PreTrainedTokenizerBase), "tokenizer() must give a tokenizer of transformers")
    require(tokenizer.is_fast, "the tokenizer must report character offsets")
    require(llm.get_output_embeddings() is not None, "the LLM must have a head: get_output_embeddings gives None")
    width = config.architecture().get_text_config(decoder=True).vocab_size
    require(llm.get_input_embeddings().num_embeddings == width, "architecture() must describe the LLM that is built")
    trained = [name for name, p in llm.named_parameters() if p.requires_grad and ADAPTER not in name.split(".")]
    require(not trained, f"the LLM must be frozen except for its adapters: {trained[:3]} are not")
    fit = fit_of(llm)
    require(fit.verdict != REFUSED, f"the LLM must say in modalink's hands what it says by itself: {fit.reason}")
    return fit
