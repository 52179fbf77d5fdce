"""The inbox on real servers, with what happens in it by itself."""

from tests.inbox.conftest import house, second_house

__all__ = ["house", "second_house"]
