"""Towers of words and media find media by words of which no entry tells; their cosines are the checkpoint's own."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel, CLIPImageProcessor, CLIPModel

from modalink import modalities
from modalink.encoders.imagebind import ImageBindConfig
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.modalities.sentence import Sentence
from modalink.ragged import Ragged
from modalink.retrievers._index_writer import IndexWriter
from modalink.roles.retriever import Query
from modalink.testing import check_retriever
from modalink.testing.checkpoints import tiny_imagebind
from modalink.testing.lookers import tiny_clap_of_words, tiny_clip

COLOURS = ("red", "lime", "blue", "white", "orange")


def built(folder, config, media):
    """Write an index of media without words."""
    vectors = config.vectors(None)
    with IndexWriter(folder, config.facts(None)) as writer:
        for number, handle in enumerate(media):
            writer.add(f"row {number}", "", [(config.modality, handle)], vectors([handle]))
        writer.close()


def of(folder, checkpoint, **settings):
    return parse(
        "modalink.retrievers", {"kind": "towers", "index": str(folder), "checkpoint": str(checkpoint), **settings}
    )


@pytest.fixture
def pictures():
    record = modalities.get("image")
    return [record.open(Image.new("RGB", (40, 32), colour)) for colour in COLOURS]


@pytest.fixture
def clip(tmp_path, pictures):
    """A tiny CLIP, and an index of pictures by it."""
    checkpoint = tiny_clip(tmp_path / "clip")
    built(tmp_path / "index", of(tmp_path / "index", checkpoint), pictures)
    return checkpoint


@torch.no_grad()
def cosines(checkpoint, pictures, words):
    model = CLIPModel.from_pretrained(checkpoint).eval()
    pixels = CLIPImageProcessor.from_pretrained(checkpoint)([handle.read() for handle in pictures], return_tensors="pt")
    ids = AutoTokenizer.from_pretrained(checkpoint)([words], return_tensors="pt")
    seen, said = model.get_image_features(**pixels).pooler_output, model.get_text_features(**ids).pooler_output
    return torch.cosine_similarity(seen, said)


def test_words_find_pictures_by_the_cosine_of_both_towers(tmp_path, clip, pictures):
    wanted = cosines(clip, pictures, "show me a red cube")
    found = of(tmp_path / "index", clip).build(None).search(Query("show me a red cube"), 5)
    assert [one.number for one in found] == wanted.argsort(descending=True).tolist()
    assert [one.score for one in found] == pytest.approx(sorted(wanted.tolist(), reverse=True), abs=1e-4)
    assert [Image.open(path).getpixel((0, 0)) for _, path in found[0].media] == [
        pictures[found[0].number].read().getpixel((0, 0))
    ]


def test_what_is_looked_at_first_is_a_setting_and_the_other_stands_in(tmp_path, clip, pictures):
    words, medium = Query("a red cube"), Query("", (("image", pictures[2]),))
    both = Query(words.words, medium.media)
    by_words, by_media = (of(tmp_path / "index", clip, first=first).build(None) for first in ("words", "media"))
    assert by_words.search(both, 3) == by_words.search(words, 3) == by_media.search(words, 3)
    assert by_media.search(both, 3) == by_media.search(medium, 3) == by_words.search(medium, 3)
    assert by_media.search(both, 1)[0].number == 2 and by_media.search(both, 1)[0].score == pytest.approx(1, abs=1e-5)


def test_it_keeps_the_promises_of_its_role(tmp_path, clip, pictures):
    queries = [Query("a red cube"), Query("", (("image", pictures[1]),)), Query("blue sky", (("image", pictures[0]),))]
    check_retriever(of(tmp_path / "index", clip), queries)


def test_an_index_of_other_towers_is_refused_and_so_is_one_without_words(tmp_path, clip):
    other = tiny_clip(tmp_path / "other", seed=1)
    with pytest.raises(PartError, match="found an index with encoder"):
        of(tmp_path / "index", other).build(None)
    with pytest.raises(PartError, match="embeds no texts; needed an encoder of texts and media alike"):
        vision = of(tmp_path / "index", "zoo:vision")
        built(tmp_path / "seen", vision, [modalities.get("image").open(Image.new("RGB", (8, 8)))])
        of(tmp_path / "seen", "zoo:vision").build(None).search(Query("red"), 1)


def tone(hertz):
    """An opened tone of half a second."""
    samples = np.sin(np.arange(8_000) * 2 * np.pi * hertz / 16_000).astype(np.float32) / 2
    return modalities.get("audio").open(Sound(samples, 16_000))


@torch.no_grad()
def test_words_find_sounds(tmp_path):
    checkpoint, sounds = tiny_clap_of_words(tmp_path / "clap"), [tone(hertz) for hertz in (220, 900, 3000)]
    config = of(tmp_path / "index", checkpoint, modality="audio")
    built(tmp_path / "index", config, sounds)
    found = config.build(None).search(Query("a bell"), 3)
    model, extractor = ClapModel.from_pretrained(checkpoint).eval(), AutoFeatureExtractor.from_pretrained(checkpoint)
    said = model.get_text_features(**AutoTokenizer.from_pretrained(checkpoint)(["a bell"], return_tensors="pt"))
    wanted = []
    for sound in sounds:
        heard = model.get_audio_features(
            **extractor(sound.samples(16_000), sampling_rate=16_000, return_tensors="pt", padding=True)
        )
        wanted.append(float(torch.cosine_similarity(heard.pooler_output, said.pooler_output)))
    assert {one.number: one.score for one in found} == pytest.approx(dict(enumerate(wanted)), abs=1e-4)


def test_imagebinds_words_find_pictures_and_videos_and_sounds(tmp_path):
    """The cosine of its own towers of words and of the modality."""
    checkpoint = f"imagebind:{tiny_imagebind(tmp_path / 'imagebind')}"
    for modality in ("image", "video", "audio"):
        record = modalities.get(modality)
        media = [record.open(record.example(number)) for number in range(3)]
        index, config = tmp_path / modality, of(tmp_path / modality, checkpoint, modality=modality)
        built(index, config, media)
        encoders = {
            name: ImageBindConfig(checkpoint=checkpoint.partition(":")[2], modalities=(name,))
            for name in (modality, "sentence")
        }
        seen, said = (
            torch.cat([encoders[name].build()(units_of(encoders[name], one)).values for one in those]).detach()
            for name, those in (
                (modality, media),
                ("sentence", [modalities.get("sentence").open(Sentence("a red cube"))]),
            )
        )
        wanted = torch.cosine_similarity(seen, said)
        found = config.build(None).search(Query("a red cube"), 3)
        assert [one.number for one in found] == wanted.argsort(descending=True).tolist()
        assert [one.score for one in found] == pytest.approx(sorted(wanted.tolist(), reverse=True), abs=1e-4)


def units_of(config, handle):
    read = config.preprocessor()
    return Ragged.of([read.units(handle)], [read.layout(handle)])


def test_kinds_that_embed_no_words_are_told(tmp_path, pictures):
    config = of(tmp_path / "index", "vision:zoo:vision")
    built(tmp_path / "index", config, pictures)
    with pytest.raises(PartError, match="vision:zoo:vision: embeds no texts; needed an encoder of texts and media"):
        config.build(None).search(Query("a red cube"), 1)
