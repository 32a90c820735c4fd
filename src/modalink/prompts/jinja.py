"""Writes a record template as a Hugging Face chat template."""

import json
import string
from typing import Any

# Every tag strips the white space around it, so only expressions print. `$name` is filled in with a literal.
# `read` leaves in `said` the media that open a turn, what follows them, and the media alone.
_SOURCE = """\
{%- set said = namespace(opening='', rest='', media='') -%}
{%- set placeholders = $placeholders -%}
{%- set signals = $signals -%}
{%- macro read(message) -%}
  {%- set said.opening = '' -%}{%- set said.rest = '' -%}{%- set said.media = '' -%}
  {%- set content = message['content'] -%}
  {%- for block in ([{'type': 'text', 'text': content}] if content is string else content) -%}
    {%- if block['type'] == 'text' -%}
      {%- set said.rest = said.rest + block['text'] -%}
    {%- else -%}
      {%- set given = placeholders.get(block['type'], '<' + block['type'] + '>') -%}
      {%- set use = block.get('use') or ('made' if message['role'] == 'assistant' else 'read') -%}
      {%- set token = given if use == 'read' else signals.get(block['type'], '' if use == 'both' else given) -%}
      {%- set token = token + given if use == 'both' else token -%}
      {%- set said.media = said.media + token -%}
      {%- if said.rest -%}{%- set said.rest = said.rest + token -%}
      {%- else -%}{%- set said.opening = said.opening + token -%}{%- endif -%}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro -%}
{%- set system = $system -%}
{%- set turns = messages -%}
{%- if messages[0]['role'] == 'system' -%}
  {{- read(messages[0]) -}}
  {%- set system = said.opening + said.rest -%}
  {%- set turns = messages[1:] -%}
{%- endif -%}
{%- set head = $system_before + system + $system_after if system and $system_shown else $system_absent -%}
{{- $start -}}
{%- if not $system_inside -%}{{- head -}}{%- endif -%}
{%- for message in turns -%}
  {%- if message['role'] not in ['user', 'assistant', 'tool'] -%}
    {{- raise_exception('found a turn of role ' + message['role'] + '; only user, assistant and tool may speak') -}}
  {%- elif $alternates and (message['role'] != 'assistant') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('user and assistant must take turns, the user first') -}}
  {%- endif -%}
  {{- read(message) -}}
  {%- if message['role'] != 'assistant' -%}
    {%- if said.media and not $wording -%}
      {%- set said.opening = said.media -%}{%- set said.rest = '' -%}
    {%- endif -%}
    {%- if $media_first -%}{{- said.opening -}}{%- endif -%}
    {{- $user_before -}}
    {%- if $system_inside and loop.first -%}{{- head -}}{%- endif -%}
    {%- if not $media_first -%}
      {{- said.opening -}}
      {%- if said.opening and said.rest and not said.rest[0].isspace() -%}{{- $joint -}}{%- endif -%}
    {%- endif -%}
    {{- said.rest -}}
    {{- $user_after -}}
  {%- else -%}
    {{- $reply -}}
    {%- if message['loss'] is defined and not message['loss'] -%}
      {{- $answer_before + said.opening + said.rest + $answer_after -}}
    {%- else -%}
      {%- generation -%}{{- $answer_before + said.opening + said.rest + $answer_after -}}{%- endgeneration -%}
    {%- endif -%}
    {{- $after -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- $reply -}}{%- endif -%}
"""


def write_jinja(**literals: Any) -> str:
    """The chat template with these values, JSON data, in their places."""
    # Jinja reads JSON strings, numbers and objects as they are.
    return string.Template(_SOURCE).substitute({k: json.dumps(v, ensure_ascii=False) for k, v in literals.items()})
