"""Point clouds of the tiny world: one or two solids."""
