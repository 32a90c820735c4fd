"""Joins: how media meet the LLM, one kind a file."""
