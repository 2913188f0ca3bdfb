#!/bin/sh
# Install pinned requirements into .venv, making it first; one sentence if that cannot be done.
set -eu
requirements=$1
log=.venv/install.log

fail() {
    echo "$1" >&2
    exit 1
}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Midcourse needs Python 3.11 or newer; name one by PYTHON=, as in: make up PYTHON=python3.12"
if [ ! -x .venv/bin/python ]; then
    "$PYTHON" -m venv .venv >/dev/null 2>&1 ||
        fail "No virtual environment could be made in $(pwd)/.venv; is the folder writable, and is Python's venv installed (Debian: apt-get install python3-venv)?"
fi
echo "Installing $requirements into .venv (a minute or two; 5.4 GB with PyTorch) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --requirement "$requirements" >"$log" 2>&1 ||
    fail "The packages of $requirements could not be installed: $(grep -m 1 -i -o 'network is unreachable\|temporary failure in name resolution\|no space left on device\|connection refused\|hashes are required\|do not match the hashes\|no matching distribution found for .*' "$log" || echo 'see the log'). The whole log is in $log."

# The checkout itself, without a build: its packages are found from any folder, and `midcourse` is
# a command. It follows links to itself, so that one may lie in ~/.local/bin.
pwd >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/midcourse_checkout.pth"
cat >.venv/bin/midcourse <<'END'
#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -m midcourse.cli "$@"
END
chmod +x .venv/bin/midcourse
