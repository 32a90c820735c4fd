"""From files to samples: sources, their mixture, the loader, the ledger of what was left out, and the feature cache."""
