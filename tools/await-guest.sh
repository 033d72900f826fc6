#!/usr/bin/env bash
# Wait until a guest's agent answers: tools/await-guest.sh URI NAME [SECONDS]
set -euo pipefail
uri=$1 name=$2 seconds=${3:-90}
deadline=$((SECONDS + seconds))
until timeout 10 virsh -q -c "$uri" qemu-agent-command "$name" '{"execute":"guest-ping"}' >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
        echo "await-guest: the agent of $name did not answer within $seconds s" >&2
        exit 1
    fi
    [ "$(virsh -q -c "$uri" domstate "$name" 2>&1)" = running ] ||
        { echo "await-guest: $name does not run" >&2; exit 1; }
    sleep 0.1
done
