"""Moves vectors from ChromaDB to a store of the platform. It runs in an environment of its own with
the clients that only this needs, and imports nothing of the rest of the project.
"""
