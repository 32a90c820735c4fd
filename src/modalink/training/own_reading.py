"""The system's own reading of media that it made, as a reward that can be followed back to them.

The reader is the state in which the stage began, never the one that learns: else it would learn to read well what it
draws badly. Like any reward that learns from what it judges it deceives itself at some point; an outside judge beside
it (`evaluate` of the stage) says when.
"""

from modalink.rewards._reader import QUESTION, Reader
from modalink.training.reference import Reference


class OwnReading(Reader):
    """The mean log-probability of a caption's tokens, given the picture and a question about it.

    Args:
        reference: The state in which the stage began.
        question: What the system is asked about the picture.
    """

    def __init__(self, reference: Reference, question: str = QUESTION) -> None:
        super().__init__(reference.system, reference.once.device, question, reference.start.in_place)
        self.reference = reference

    def asking(self, question: str | None) -> "OwnReading":
        """The same with another question; itself if it is None."""
        return self if question is None else OwnReading(self.reference, question)
