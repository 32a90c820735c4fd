"""Instructions made of what data tell: by a language model, or by templates."""
