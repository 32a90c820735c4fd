"""Text alone: documents and conversations."""

import pytest

from modalink.conversation import Conversation, Text, Turn
from modalink.data.sources.text import TextConfig
from modalink.errors import DataError, SampleError


def test_a_document_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("first\n\n  \r\nsecond, ünï\r\nlast without end".encode())
    source = TextConfig(path=str(path)).open()
    assert [source[i].turns[0].text for i in range(len(source))] == ["first", "second, ünï", "last without end"]
    assert source[1] == Conversation((Turn("assistant", (Text("second, ünï"),)),), f"{path}, line 4")


def test_documents_conversations_and_messages_in_one_file(write_lines):
    path = write_lines(
        "a.jsonl",
        [
            {"text": "a document", "id": "d"},
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        ],
    )
    source = TextConfig(path=str(path)).open()
    assert (source[0].id, source[0].turns) == ("d", (Turn("assistant", (Text("a document"),)),))
    assert source[1].turns == source[2].turns == (Turn("user", (Text("q"),)), Turn("assistant", (Text("a"),)))


def test_an_own_column(write_lines):
    path = write_lines("a.jsonl", [{"body": "words", "text": "other"}])
    assert TextConfig(path=str(path), column="body").open()[0].turns[0].text == "words"


@pytest.mark.parametrize("record", [{"text": " "}, {"text": 3}, {"other": "x"}])
def test_a_record_without_text(write_lines, record):
    source = TextConfig(path=str(write_lines("a.jsonl", [record, {"text": "a"}]))).open()
    with pytest.raises(SampleError, match="needed 'messages', 'conversations' or text under 'text'") as caught:
        source[0]
    assert caught.value.reason == "no_text"


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good\n\xff\xfe\n")
    source = TextConfig(path=str(tmp_path)).open()
    assert source[0].turns[0].text == "good"
    with pytest.raises(SampleError, match=r"a\.txt, line 2: cannot be read"):
        source[1]


def test_nothing_to_read(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(DataError, match="looked for records in"):
        TextConfig(path=str(tmp_path)).open()
