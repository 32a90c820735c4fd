"""A package beside modalink: beeps, their parts, and how they are taught."""
