"""Q-Formers out of their authors' files, under the names of LAVIS and Video-LLaMA."""

import pytest
import torch

from modalink import tensor_files
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.ragged import Layout, Ragged
from modalink.testing.checkpoints import tiny_blip2

WIDTH, INNER, SEEN, LLM = 128, 40, 32, 16
SIZES = {"width": WIDTH, "heads": 2, "layers": 2, "feed_forward": INNER, "queries": 4, "vocabulary": 60}
LAYER = {
    "attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH), "attention.self.value": (WIDTH, WIDTH),
    "attention.output.dense": (WIDTH, WIDTH), "attention.output.LayerNorm": (WIDTH,),
    "intermediate_query.dense": (INNER, WIDTH), "output_query.dense": (WIDTH, INNER), "output_query.LayerNorm": (WIDTH,),
}  # fmt: skip
READS = {
    "crossattention.self.query": (WIDTH, WIDTH), "crossattention.self.key": (WIDTH, SEEN),
    "crossattention.self.value": (WIDTH, SEEN), "crossattention.output.dense": (WIDTH, WIDTH),
    "crossattention.output.LayerNorm": (WIDTH,),
}  # fmt: skip
WORDS = {
    "intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER), "output.LayerNorm": (WIDTH,),
}  # fmt: skip


def authors(prefix="", *, cross_every=1, words=False):
    """A Q-Former as LAVIS's code names it; where it reads no words, their layers are not there, as in Video-LLaMA."""
    shapes = {f"{prefix}query_tokens": (1, 4, WIDTH)}
    shapes |= weights(f"{prefix}Qformer.bert.embeddings.LayerNorm", (WIDTH,))
    for number in range(2):
        layers = LAYER | (READS if number % cross_every == 0 else {}) | (WORDS if words else {})
        for name, shape in layers.items():
            shapes |= weights(f"{prefix}Qformer.bert.encoder.layer.{number}.{name}", shape)
    if words:
        shapes[f"{prefix}Qformer.bert.embeddings.word_embeddings.weight"] = (60, WIDTH)
        shapes[f"{prefix}Qformer.bert.embeddings.position_embeddings.weight"] = (512, WIDTH)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def weights(name, shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def maps(name):
    return {f"{name}.{kind}": torch.randn(shape) for kind, shape in (("weight", (LLM, WIDTH)), ("bias", (LLM,)))}


def borrowed(folder, held=None, **settings):
    if held is not None:
        folder.mkdir(exist_ok=True)
        torch.save({"model": held, "epoch": 1}, folder / "checkpoint.pth")
    config = parse("modalink.projectors.inputs", {"kind": "q_former", **SIZES, "checkpoint": str(folder), **settings})
    projector = config.build(dim_in=SEEN, dim_out=LLM, example=Layout(1, (9,)))
    config.borrow(projector, config.borrowed())
    return projector.eval()


def test_video_llamas_two_q_formers_and_their_maps(tmp_path):
    held = authors("video_") | maps("llama_proj") | authors("audio_") | maps("audio_llama_proj")
    held |= {"video_frame_position_embedding.weight": torch.randn(32, WIDTH), "query_tokens": torch.randn(1, 32, 9)}
    for prefix, exit in (("video_", "llama_proj"), ("audio_", "audio_llama_proj")):
        projector = borrowed(tmp_path, held, prefix=prefix, cross_every=1, exit="checkpoint")
        assert torch.equal(projector.queries, held[f"{prefix}query_tokens"][0])
        assert torch.equal(projector.exit.weight, held[f"{exit}.weight"])
        block = projector.q_former.blocks.encoder.layer[1]
        theirs = f"{prefix}Qformer.bert.encoder.layer.1."
        assert torch.equal(block.attention.attention.key.weight, held[f"{theirs}attention.self.key.weight"])
        assert torch.equal(block.crossattention.attention.value.bias, held[f"{theirs}crossattention.self.value.bias"])
        assert torch.equal(block.output_query.LayerNorm.bias, held[f"{theirs}output_query.LayerNorm.bias"])


def test_x_instructblips_reads_words(tmp_path):
    held = authors("pc_", cross_every=2, words=True) | maps("pc_llm_proj")
    projector = borrowed(tmp_path, held, prefix="pc_", exit="checkpoint", instruction=True)
    table = held["pc_Qformer.bert.embeddings.word_embeddings.weight"]
    assert torch.equal(projector.q_former.words.word_embeddings.weight, table)
    without = borrowed(tmp_path, held, prefix="pc_")  # the same without words: their layers are left out
    assert torch.equal(without.queries, projector.queries)


def test_the_authors_file_and_transformers_folder_give_the_same_tokens(tmp_path):
    """A BLIP-2 of transformers whose tensors are given LAVIS's names, as its conversion script tells them."""
    sizes = {"hidden_size": WIDTH, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": INNER}
    tiny_blip2(tmp_path / "blip2", **sizes)
    theirs = {}
    for name, tensor in tensor_files.read(tmp_path / "blip2/model.safetensors", ValueError).items():
        if name.startswith(("qformer.", "query_tokens")):
            name = name.replace("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm")
            theirs[name.replace("attention.attention", "attention.self").replace("qformer.", "Qformer.bert.")] = tensor
    features = Ragged.of([torch.randn(9, SEEN)], [Layout(1, (9,))])
    queries = theirs["query_tokens"].shape[1]
    torch.manual_seed(1)
    first = borrowed(tmp_path / "blip2", queries=queries)
    torch.manual_seed(1)
    second = borrowed(tmp_path / "lavis", theirs, queries=queries)
    assert torch.equal(first(features).values, second(features).values)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "found no query_tokens, needed a Q-Former under names as Qformer.bert...; set prefix"),
        ({"prefix": "video_", "heads": 4}, "found 4 of width 128, set heads: 2"),
        ({"prefix": "video_", "cross_every": 2}, "holds tensors that are not here: q_former.blocks.encoder.layer.1.cross"),
        ({"prefix": "video_", "layers": 3}, "lacks parameters that are needed: q_former.blocks.encoder.layer.2"),
        ({"prefix": "video_", "queries": 5}, r"queries has the shape \(4, 128\), needed \(5, 128\)"),
        ({"prefix": "video_", "exit": "checkpoint"}, "lacks parameters that are needed: exit.bias, exit.weight"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(settings, says, tmp_path):
    with pytest.raises(PartError, match=says):
        borrowed(tmp_path, authors("video_"), **{"cross_every": 1, **settings})
