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
        (Group.generator("image"), "outputs", "image", "generator", False),
    ],
)
def test_a_name_tells_its_parts(group, side, modality, part, is_link):
    assert (group.side, group.modality, group.part, group.is_link) == (side, modality, part, is_link)
    assert Group(str(group)) == group == str(group)
