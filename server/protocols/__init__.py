"""Pure codecs, one for each protocol: no trio, no Quart, no sibling."""

from server.protocols.content import ContentCodec
from server.protocols.exhibition import ExhibitionCodec
from server.protocols.generate import GenerateCodec
from server.protocols.interface import Codec
from server.protocols.persona import PersonaCodec
from server.protocols.rater import RaterCodec


def all_codecs() -> tuple[Codec, ...]:
    """Give one codec for each protocol that is served."""
    return (
        GenerateCodec(),
        ContentCodec(),
        RaterCodec(),
        PersonaCodec(),
        ExhibitionCodec(),
    )
