"""What an error of somebody else's library says, in one line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its name if it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
