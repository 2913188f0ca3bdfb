#!/bin/sh
# What a container does first: find W&B's key, then become the program.
#   up           the control API and the default training (CONFIG names another)
#   api          the control API alone, with the arguments of `python -m control_api`
#   …            anything else is run as it stands
set -eu

refuse() {
    echo "midcourse: $1" >&2
    exit 2
}

# In this order, as everywhere in Midcourse. No key is ever shown.
if [ -n "${WANDB_API_KEY:-}" ]; then
    source=WANDB_API_KEY key=$WANDB_API_KEY
elif [ -n "${WANDB_TOKEN:-}" ]; then
    source=WANDB_TOKEN key=$WANDB_TOKEN
elif [ -n "${WANDB_API_KEY_FILE:-}" ]; then
    source=$WANDB_API_KEY_FILE
    key=$(cat -- "$WANDB_API_KEY_FILE") || refuse "WANDB_API_KEY_FILE names $source, which cannot be read."
    [ -n "$key" ] || refuse "WANDB_API_KEY_FILE names $source, which is empty."
else
    source='' key=''
fi
unset WANDB_TOKEN WANDB_API_KEY_FILE

if [ -n "$key" ]; then
    case $key in
    \"* | \'*) refuse "The W&B key in $source stands in quotes, which an env file takes as part of it; leave them away." ;;
    *[!A-Za-z0-9_.-]*) refuse "The W&B key in $source has a character that no key has (a space, or the line end of another system?)." ;;
    esac
    case $key in
    *.*.*) ;; # a JSON Web Token
    *)
        secret=${key#*-}
        [ ${#secret} -ge 40 ] || refuse "The W&B key in $source is too short: a key has at least 40 characters, this has ${#secret}. Take it whole from https://wandb.ai/authorize, or leave it empty to log offline."
        ;;
    esac
    export WANDB_API_KEY="$key"
else
    unset WANDB_API_KEY
    case ${WANDB_MODE:-} in
    offline | dryrun | disabled) ;;
    *) echo "midcourse: no WANDB_API_KEY, so runs log to W&B offline; \`midcourse sync\` sends them later." >&2 ;;
    esac
fi

# -P: what lies in the working directory is not ours to import.
case ${1:-up} in
up)
    [ $# -le 1 ] || refuse "up takes no arguments; CONFIG, PORT and MIDCOURSE_… say what it does."
    set -- python -P -m control_api.up
    ;;
api)
    shift
    set -- python -P -m control_api "$@"
    ;;
esac
exec "$@"
