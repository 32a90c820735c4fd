import pytest
import seeded


@pytest.fixture(autouse=True)
def _none_made_yet() -> None:
    """Tests count what generators made."""
    seeded.made.clear()
