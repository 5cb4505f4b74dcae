"""Makes a ChromaDB database with its own client, in the environment that has it: a folder, and how
many articles it holds besides some notes and an empty collection.
"""

import random
import sys

import chromadb

LENGTH = 64
_NOTES = 250


def main(folder: str, articles: int) -> None:
    """Vectors, documents, and metadata of every type; some records have none."""
    client = chromadb.PersistentClient(folder)
    chance = random.Random(1)  # noqa: S311 - the same vectors each time
    for name, space, count in (
        ("articles", "cosine", articles),
        ("notes", "l2", _NOTES),
        ("empty", "ip", 0),
    ):
        collection = client.create_collection(
            name, configuration={"hnsw": {"space": space}}, embedding_function=None
        )
        for first in range(0, count, 1000):
            numbers = range(first, min(first + 1000, count))
            collection.add(
                ids=[f"{name}/{n}" for n in numbers],
                embeddings=[[chance.gauss(0, 1) for _ in range(LENGTH)] for _ in numbers],
                documents=[f"Straße Nr. {n} · 'quoted'" for n in numbers],
                metadatas=[
                    {"n": n, "even": n % 2 == 0, "score": n / 7, "of": name} if n % 5 else None
                    for n in numbers
                ],
            )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
