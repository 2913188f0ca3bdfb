#!/bin/sh
# Note which commit the code is of, and compile it, as the image's file system may be read-only.
# COMMIT wins over what the folder's own .git says.
set -eu
commit=${COMMIT:-}
if [ -z "$commit" ] && [ -f .git/HEAD ]; then
    head=$(cat .git/HEAD)
    reference=${head#ref: }
    if [ "$reference" = "$head" ]; then
        commit=$head
    elif [ -f ".git/$reference" ]; then
        commit=$(cat ".git/$reference")
    elif [ -f .git/packed-refs ]; then
        commit=$(awk -v wanted="$reference" '$2 == wanted { print $1 }' .git/packed-refs)
    fi
fi
rm -rf .git
echo "${commit:-unknown}" >COMMIT
chmod -R a+rX .
python3 -m compileall -q midcourse trainer control_api
