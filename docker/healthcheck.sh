#!/bin/sh
# Healthy: the control API answers, if this container has one. A trainer alone has none to ask, nor
# has a reconciler.
set -eu
port=
for file in /proc/[0-9]*/cmdline; do
    line=$(tr '\0' ' ' <"$file" 2>/dev/null) || continue
    case $line in
    *" -m control_api reconcile"*) ;;
    *" -m control_api "*--port*) port=$(echo "$line" | sed 's/.*--port[= ]\([0-9]*\).*/\1/') ;;
    *" -m control_api "*) port=${port:-${PORT:-8080}} ;;
    esac
done
[ -n "$port" ] || exit 0
exec /opt/venv/bin/python -c '
import sys, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}/healthz"
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=8)
except OSError as error:
    sys.exit(f"{url}: {error}")
' "$port"
