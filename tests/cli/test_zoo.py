from modalink.zoo import names


def test_parts_are_listed_as_recipes_name_them(modalink):
    lines = modalink("zoo", "list").output.splitlines()
    assert [line.split()[0] for line in lines] == [f"zoo:{name}" for name in names()]
    assert all("MB  " in line for line in lines)
    assert "MB  Llama language model that knows the tiny world in words" in next(x for x in lines if "zoo:llm" in x)
