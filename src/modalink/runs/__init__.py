"""The run folder that training makes: its recipe, checkpoints, manifest, metrics and ledger."""
