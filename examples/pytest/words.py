"""Counts words."""


def count(text):
    """How often each word of a text occurs."""
    counts = {}
    for word in text.split():
        word = word.lower()
        counts[word] = counts.get(word, 0) + 1
    return counts
