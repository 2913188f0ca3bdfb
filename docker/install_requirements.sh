#!/bin/sh
# Install pinned requirements into a virtual environment, which is made first.
#   install_requirements.sh VENV REQUIREMENTS
# TORCH_INDEX_URL, if set, is the package index of another build of PyTorch: for CPUs alone, say.
set -eu
venv=$1
requirements=$2
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

python3 -m venv "$venv"
if [ -n "${TORCH_INDEX_URL:-}" ]; then
    # Another build has other files, so none of our hashes, and does without CUDA's libraries.
    torch=$(sed -n 's/^\(torch\(vision\)\{0,1\}==[^ ;]*\).*/\1/p' "$requirements")
    # shellcheck disable=SC2086 # one word for each package
    "$venv/bin/pip" install --quiet --no-deps --index-url "$TORCH_INDEX_URL" $torch
    awk '/^[a-z]/ { skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z-]*)==/ } !skip' \
        "$requirements" >other-requirements.txt
    requirements=other-requirements.txt
fi
"$venv/bin/pip" install --quiet --require-hashes --requirement "$requirements"

# The code comes beside it; `midcourse` is a command.
echo /opt/midcourse >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/midcourse_image.pth"
cat >"$venv/bin/midcourse" <<'END'
#!/bin/sh
exec /opt/venv/bin/python -P -m midcourse.cli "$@"
END
chmod +x "$venv/bin/midcourse"
