"""The company's total in calendar time."""
