"""Who is in which segment: found for all people when a rule is new, kept up to date person by person afterwards."""

from profiles.membership.appraiser import SegmentAppraiser
from profiles.membership.book import Preview, SegmentInput, SegmentPatch, Segments
from profiles.membership.building import SegmentBuilder

__all__ = ["Preview", "SegmentAppraiser", "SegmentBuilder", "SegmentInput", "SegmentPatch", "Segments"]
