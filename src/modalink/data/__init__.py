"""From files to samples: sources, their mixture, and the loader that reads ahead."""
