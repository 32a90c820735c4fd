"""The encoder's tokens as they are, for a join whose blocks map media themselves, as IDEFICS without a resampler."""

from typing import Literal

from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig


class IdentityConfig(InputProjectorConfig):
    """Settings of no projector: it has none, and no parameters."""

    kind: Literal["identity"] = "identity"

    def tiny(self) -> "IdentityConfig":
        """The same."""
        return self

    def layout(self, item: Layout) -> Layout:
        """As the encoder's tokens lie."""
        return item

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "IdentityProjector":
        """The projector.

        Raises:
            PartError: Encoder tokens have another width than prompt tokens must have.
        """
        if dim_in != dim_out:
            raise PartError(
                f"identity: found encoder tokens {dim_in} wide, needed {dim_out}; choose another kind, or, where media "
                f"stay outside the text, set llm.join.media_width: {dim_in}"
            )
        return IdentityProjector()


class IdentityProjector(InputProjector):
    """Gives what it gets."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """The features of items."""
        return features
