"""What frozen parts give: computed once, kept in memory and on disk."""
