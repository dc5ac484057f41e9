"""Tests of words."""

from words import count


def test_a_long_text_is_counted():
    counts = count(" ".join(f"Word{i % 500}" for i in range(20_000)))
    assert len(counts) == 500
    assert set(counts.values()) == {40}
