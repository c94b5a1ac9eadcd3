"""Publish trained networks in a store, verify the store, and write model cards."""
