import pytest

from modalink.recipe.groups import JOIN, LLM, LORA, NEW_TOKENS, Group


@pytest.mark.parametrize(
    ("group", "side", "modality", "part", "is_link"),
    [
        (LLM, "llm", None, "llm", False),
        (LORA, "llm", None, "lora", True),
        (JOIN, "llm", None, "join", True),
        (NEW_TOKENS, "llm", None, "new_tokens", True),
        (Group.encoder("image"), "inputs", "image", "encoder", False),
        (Group.input_projector("depth.left"), "inputs", "depth.left", "projector", True),
        (Group.output_projector("image"), "outputs", "image", "projector", True),
        (Group.input_projector("depth.left").inside("each.exit"), "inputs", "depth.left", "projector", True),
        (Group("inputs.image.encoder.tower.encoder.layers.0.weight"), "inputs", "image", "encoder", False),
        (Group.generator("image"), "outputs", "image", "generator", False),
    ],
)
def test_a_name_tells_its_parts(group, side, modality, part, is_link):
    assert (group.side, group.modality, group.part, group.is_link) == (side, modality, part, is_link)
    assert Group(str(group)) == group == str(group)


def test_a_section_is_found_under_the_narrowest_name():
    whole = Group.input_projector("depth.left")
    section = whole.inside("each").inside("q_former")
    assert (section.section, section.whole, whole.section, whole.whole) == ("each.q_former", whole, None, whole)
    assert section.within({whole, whole.inside("each"), "llm"}) == whole.inside("each")
    assert section.within({whole.inside("whole"), "inputs"}) is None
    assert whole.inside("eacher").within({whole.inside("each")}) is None
    assert LORA.within({"llm"}) is None and LORA.within({LORA}) == LORA
