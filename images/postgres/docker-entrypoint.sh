#!/bin/sh
# Initialise an empty data directory with the superuser's password, then become the server.
set -eu
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA"
    # A start that was killed half-way leaves files without PG_VERSION; initdb refuses such a
    # directory, and nothing in it was ever a database.
    staging="$PGDATA.init"
    rm -rf "$staging"
    initdb --pgdata="$staging" --username="${POSTGRES_USER:-postgres}" --pwfile="$POSTGRES_PASSWORD_FILE" \
        --auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale-provider=builtin \
        --locale=C.UTF-8 --data-checksums
    rmdir "$PGDATA"
    mv "$staging" "$PGDATA"
fi
exec "$@"
