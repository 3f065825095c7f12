"""Who may be leaving: how probable it is, whether such probabilities were right before, whom it pays to keep."""
