import pytest
import seeded_media


@pytest.fixture(autouse=True)
def _none_made_yet() -> None:
    """Tests count what generators made."""
    seeded_media.made.clear()
