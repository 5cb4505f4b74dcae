"""LangChain's PGVectorStore (github.com/langchain-ai/langchain-postgres): its table made as the
owner, documents added and found as the application.
"""

import os

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import PGEngine, PGVectorStore

_LENGTH = 64


def _engine(name: str) -> PGEngine:
    url = os.environ[name].replace("postgresql://", "postgresql+psycopg://", 1)
    return PGEngine.from_connection_string(url=url)


def main() -> None:
    """Raises whatever does not work."""
    _engine("DATABASE_OWNER_URL").init_vectorstore_table(
        table_name="langchain_documents", vector_size=_LENGTH, overwrite_existing=True
    )
    store = PGVectorStore.create_sync(
        engine=_engine("DATABASE_URL"),
        table_name="langchain_documents",
        embedding_service=DeterministicFakeEmbedding(size=_LENGTH),
    )
    store.add_documents([Document(page_content=text) for text in ("blue sky", "green grass")])
    (found,) = store.similarity_search("blue sky", k=1)
    assert found.page_content == "blue sky", found


if __name__ == "__main__":
    main()
