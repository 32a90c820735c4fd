"""What a recipe means before it is trained."""

from modalink.planning.doctor import Finding, examine

__all__ = ["Finding", "examine"]
