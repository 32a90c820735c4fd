"""OpenFlamingo: a Perceiver resampler and gated blocks in a frozen LLM, read by CLIP's tower (arXiv 2308.01390).

Source: mlfoundations/open_flamingo@655f693, open_flamingo/src/factory.py, flamingo_lm.py and helpers.py, and of what is
saved open_flamingo/train/train_utils.py. Its tower's tokens are open_clip's before 2.23: without the last norm.
"""

import re
from typing import Any

from modalink.errors import PartError
from modalink.interop.original import Original, Trained
from modalink.llms._vocabulary import TABLES
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.recipe import Paper

TOWER = "openai/clip-vit-large-patch14"
"""The tower of all that are released."""
LLMS = {
    "openflamingo/OpenFlamingo-3B-vitl-mpt1b": "anas-awadalla/mpt-1b-redpajama-200b",
    "openflamingo/OpenFlamingo-3B-vitl-mpt1b-langinstruct": "anas-awadalla/mpt-1b-redpajama-200b-dolly",
    "openflamingo/OpenFlamingo-4B-vitl-rpj3b": "togethercomputer/RedPajama-INCITE-Base-3B-v1",
    "openflamingo/OpenFlamingo-4B-vitl-rpj3b-langinstruct": "togethercomputer/RedPajama-INCITE-Instruct-3B-v1",
    "openflamingo/OpenFlamingo-9B-vitl-mpt7b": "anas-awadalla/mpt-7b",
}
"""Hub ids of those that are released -> the LLM of each. Source: README.md of the repository."""
_OWN_CODE = "mpt-1b-redpajama-200b"
_TOKENS = ("<|endofchunk|>", "<image>")
"""Tokens that are added to the LLM's, in this order, and then one that pads, where the LLM's tokenizer has none."""
_PAD = "<PAD>"
_HEAD_WIDTH = 64
_BLOCK = r"(?:module\.)?lang_encoder\.(?:\w+\.)+(\d+)\.gated_cross_attn_layer\."
_RESAMPLER = r"(?:module\.)?perceiver\."


def parts(trained: Trained) -> dict[str, Any]:
    """The parts: those trained in the checkpoint, beside an LLM and a tower of others.

    Raises:
        PartError: Nobody says which LLM it is, or that has no class, or other layers or tokens than the checkpoint.
    """
    checkpoint, encoder = _llm(trained), trained.encoder or TOWER
    llm = PretrainedLlmConfig(checkpoint=checkpoint)
    tokenizer, rows = llm.tokenizer(), trained.shape(TABLES[0])[0]
    tokens = (*_TOKENS, *([] if tokenizer.pad_token is not None else [_PAD]))
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    if len(tokenizer) != rows:
        raise trained.refuse(
            f"embeddings of {rows} tokens",
            f"{len(tokenizer)}, those of {checkpoint} and {', '.join(tokens)}: say by --llm in which it was trained",
        )
    width, queries = trained.shape(_RESAMPLER + "latents")[1], trained.shape(_RESAMPLER + "latents")[0]
    image = {
        "encoder": {"kind": "vision", "checkpoint": encoder, "layer": -1, "keep_cls": False},
        "projector": {
            "kind": "perceiver",
            **trained.checkpoint,
            "queries": queries,
            "layers": len(_numbers(trained, _RESAMPLER + r"layers\.(\d+)\.")),
            "heads": trained.shape(_RESAMPLER + r"layers\.0\.0\.to_q\.weight")[0] // _HEAD_WIDTH,
            "feed_forward": trained.shape(_RESAMPLER + r"layers\.0\.1\.1\.weight")[0],
        },
    }
    vocabulary = {**trained.checkpoint, "tokens": tokens, "rows": rows}
    row = tokenizer.convert_tokens_to_ids(_TOKENS[1])
    join = _join(trained, llm) | {"media_width": width, "token_row": row}
    return {"inputs": {"image": image}, "llm": {"checkpoint": checkpoint, "vocabulary": vocabulary, "join": join}}


def _llm(trained: Trained) -> str:
    """The LLM that it was trained in."""
    found = trained.llm or LLMS.get(trained.reference)
    if found is None:
        raise trained.refuse(
            "an OpenFlamingo, which holds no LLM", "the one that it was trained in: say it by --llm, a folder or hub id"
        )
    if _OWN_CODE in found:
        raise PartError(
            f"{trained.reference}: its LLM {found} is a MosaicGPT, with norms of queries and keys, for which "
            "transformers has no class; take OpenFlamingo-4B-vitl-rpj3b or -9B-vitl-mpt7b"
        )
    return found


def _join(trained: Trained, llm: PretrainedLlmConfig) -> dict[str, Any]:
    depth = llm.architecture().get_text_config(decoder=True).num_hidden_layers
    numbers = _numbers(trained, _BLOCK)
    every = numbers[0] + 1
    if numbers != [*range(numbers[0], depth, every)]:
        raise trained.refuse(
            f"gated blocks before the layers {', '.join(map(str, numbers))}",
            f"one before every {every}th of the {depth} layers of {llm.checkpoint}: say by --llm which LLM it is",
        )
    return {
        "kind": "gated_cross_attention",
        **trained.checkpoint,
        "every": every,
        "first": numbers[0],
        "heads": trained.shape(_BLOCK + r"attn\.to_q\.weight")[0] // _HEAD_WIDTH,
        "head_width": _HEAD_WIDTH,
        "feed_forward_width": trained.shape(_BLOCK + r"ff\.1\.weight")[0],
        "activation": "gelu",
    }


def _numbers(trained: Trained, pattern: str) -> list[int]:
    """The numbers in names, sorted."""
    found = (re.match(pattern, name) for name in trained.tensors)
    return sorted({int(match[1]) for match in found if match})


ORIGINAL = Original(
    name="OpenFlamingo",
    paper=Paper(
        title="OpenFlamingo: An Open-Source Framework for Training Large Autoregressive Vision-Language Models",
        year=2023,
        arxiv="2308.01390",
    ),
    held=(_RESAMPLER + r"(?:latents$|layers\.|norm\.)", _BLOCK, TABLES[0]),
    # A head is saved where its name holds "embed", as GPT-NeoX's, or where it is the table; positions are OPT's own.
    beside=(TABLES[1], r"(?:module\.)?lang_encoder\.(?:\w+\.)+embed_positions\.weight$"),
    parts=parts,
    template="open-flamingo",
    source="mlfoundations/open_flamingo",
)
