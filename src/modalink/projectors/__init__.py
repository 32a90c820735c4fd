"""The light links that are trained: into the LLM (`inputs`) and out of it (`outputs`)."""
