#!/bin/sh
# Prepares db1 for a standby: the official image runs it once, when it has made the database.
set -eu

echo "host replication $POSTGRES_USER all scram-sha-256" >>"$PGDATA/pg_hba.conf"
# The names count from the next start on. Until then, no commit waits for a standby.
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
SELECT pg_create_physical_replication_slot('db2');
ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (db1, db2)';
SQL
