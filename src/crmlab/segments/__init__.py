"""The segment tree: start, score, profile, split."""
