"""Stores: one module a kind. Each knows how to dump a store as streams, and to restore them."""
