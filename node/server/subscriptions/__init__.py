"""Subscriptions, monitored items, publishing."""
