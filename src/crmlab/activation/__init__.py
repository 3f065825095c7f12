"""Whom to contact: eligibility, beliefs, the list under a budget."""
