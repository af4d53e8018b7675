#!/bin/sh
# Starts db2; the first time, it copies db1 and becomes its standby.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export PGPASSWORD
  pg_basebackup --pgdata="$PGDATA" --dbname="host=db1 user=$POSTGRES_USER application_name=db2" \
    --checkpoint=fast --write-recovery-conf --slot=db2
  unset PGPASSWORD
fi
exec docker-entrypoint.sh "$@"
