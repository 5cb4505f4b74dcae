"""LlamaIndex's PGVectorStore (docs.llamaindex.ai, "Postgres Vector Store"): set up as the owner,
nodes added and found as the application.
"""

import os
from urllib.parse import unquote, urlsplit

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore

_LENGTH = 64


def _store(name: str, *, set_up: bool) -> PGVectorStore:
    url = urlsplit(os.environ[name])
    return PGVectorStore.from_params(
        host=url.hostname,
        port=str(url.port),
        database=url.path.removeprefix("/"),
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        table_name="llama_documents",
        embed_dim=_LENGTH,
        perform_setup=set_up,
    )


def _vector(direction: int) -> list[float]:
    return [1.0 if index == direction else 0.0 for index in range(_LENGTH)]


def main() -> None:
    """Raises whatever does not work."""
    owner = _store("DATABASE_OWNER_URL", set_up=True)
    # The first query makes the table.
    owner.query(VectorStoreQuery(query_embedding=_vector(0), similarity_top_k=1))
    store = _store("DATABASE_URL", set_up=False)
    texts = {"north": 0, "east": 1}
    store.add([TextNode(text=text, embedding=_vector(at)) for text, at in texts.items()])
    found = store.query(VectorStoreQuery(query_embedding=_vector(1), similarity_top_k=1))
    assert [node.get_content() for node in found.nodes or ()] == ["east"], found


if __name__ == "__main__":
    main()
