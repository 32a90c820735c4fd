"""Ways in which a frozen LLM learns by few parameters of its own, one file a kind."""
