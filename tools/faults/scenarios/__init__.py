"""Scenarios that come with Steiger."""
