#!/bin/sh
# Makes the database of POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, as the official image does.
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

if [ ! -s "$data/PG_VERSION" ]; then
    chown postgres "$data"
    install -m 600 -o postgres /dev/null /tmp/password
    echo "$POSTGRES_PASSWORD" >/tmp/password
    as "$bin/initdb" -U "$POSTGRES_USER" --encoding=UTF8 --no-locale --auth=scram-sha-256 --pwfile=/tmp/password -D "$data"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    as "$bin/pg_ctl" -D "$data" -w -o "-c listen_addresses=" start
    PGPASSWORD=$POSTGRES_PASSWORD "$bin/createdb" -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
    as "$bin/pg_ctl" -D "$data" -w stop
    rm /tmp/password
fi
mkdir -p /var/run/postgresql
chown postgres /var/run/postgresql
exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" -c 'listen_addresses=*'
