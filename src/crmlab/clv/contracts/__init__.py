"""Subscriptions: how long they last and what they are worth."""
