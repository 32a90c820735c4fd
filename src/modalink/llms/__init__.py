"""LLM backbones: what thinks between the input side and the output side."""

from modalink.llms._attention import ATTENTION, attention
from modalink.llms._calls import Decoded, decode, encoded, select_rows
from modalink.llms._carrying import carried, why_not
from modalink.llms._meetings import keep_meeting, meeting_before, rows_of
from modalink.llms._new_tokens import NewTokenEmbedding, NewTokenHead, add_new_tokens
from modalink.llms._probe import Fit, fit_of, probe, settle
from modalink.llms._quantized import bytes_of, is_quantised, weights_in
from modalink.llms._remarks import remarks
from modalink.llms._segments import Segments, SegmentsMask, both_ways

__all__ = [
    "ATTENTION",
    "Decoded",
    "Fit",
    "NewTokenEmbedding",
    "NewTokenHead",
    "Segments",
    "SegmentsMask",
    "add_new_tokens",
    "attention",
    "both_ways",
    "bytes_of",
    "carried",
    "decode",
    "encoded",
    "fit_of",
    "is_quantised",
    "keep_meeting",
    "meeting_before",
    "probe",
    "remarks",
    "rows_of",
    "select_rows",
    "settle",
    "weights_in",
    "why_not",
]
