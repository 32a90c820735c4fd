"""Who speaks in chat messages, and what calls of tools are as text."""

import json
from typing import Any

from modalink import json_files
from modalink.conversation import Role
from modalink.errors import SampleError, shown

ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
}
"""What the projects call those who speak -> who it is; a call of a tool is the assistant's, its result the tool's."""


def spoken(messages: list[dict[str, Any]], record: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """Messages with roles of ours, calls of tools as text, and the system message that stands beside them.

    The system message is the record's `system`, unless the messages begin with one; under it stand the record's
    `tools`, a line of JSON each. A call is written as a line of JSON with its `name` and `arguments`.

    Raises:
        SampleError: A call, a system message or tools have another form.
    """
    said = [_message(message, f"message {number}", id) for number, message in enumerate(messages)]
    system, tools = record.get("system"), _tools(record, id)
    if system and not isinstance(system, str):
        raise SampleError(id, "bad_record", f"found the system message {shown(system)}, needed text")
    first = {"role": "system", "content": system or ""}
    if said and said[0].get("role") == "system":
        first, said = said[0], said[1:]
    while said and said[0].get("role") == "system" and isinstance(said[0].get("content"), str):
        first, said = {**first, "content": _joined(first.get("content"), [said[0]["content"]])}, said[1:]
    if tools:
        first = {**first, "content": _joined(first.get("content"), tools)}
    return [first, *said] if first.get("content") not in ("", []) else said


def _message(message: dict[str, Any], where: str, id: str) -> dict[str, Any]:
    role, calls = message.get("role"), message.get("tool_calls") or message.get("function_call")
    named = ROLES.get(role, role) if isinstance(role, str) else role
    if not calls:
        return {**message, "role": named}
    lines = [_call(call, where, id) for call in (calls if isinstance(calls, list) else [calls])]
    return {**message, "role": named, "content": _joined(message.get("content"), lines)}


def _joined(content: Any, lines: list[str]) -> Any:
    """A content with lines of text under it; what is no content is left for others to refuse."""
    text = "\n".join(lines)
    if content is None or content in ("", []):
        return text
    if isinstance(content, str):
        return f"{content}\n{text}"
    return [*content, {"type": "text", "text": f"\n{text}"}] if isinstance(content, list) else content


def _call(call: Any, where: str, id: str) -> str:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
        detail = f"{where}: found the call {shown(call)} of a tool, needed a mapping with the function's name"
        raise SampleError(id, "bad_messages", detail)
    return json.dumps({"name": name, "arguments": _parsed(function.get("arguments", {}))}, ensure_ascii=False)


def _tools(record: dict[str, Any], id: str) -> list[str]:
    tools = _parsed(record.get("tools") or record.get("functions") or [])
    if isinstance(tools, str):
        return [tools] if tools.strip() else []
    if not isinstance(tools, list):
        raise SampleError(id, "bad_record", f"found the tools {shown(tools)}, needed a list, or one as JSON text")
    return [tool if isinstance(tool, str) else json.dumps(tool, ensure_ascii=False) for tool in tools]


def _parsed(value: Any) -> Any:
    """What a text of JSON says; any other value, and any other text, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json_files.parse(value, ValueError)
    except ValueError:
        return value
