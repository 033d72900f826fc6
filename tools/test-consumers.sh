#!/usr/bin/env bash
# Run the tests in which the providers' own software reads what covirt renders (`make test` runs them too).
#
#   tools/test-consumers.sh [all|light|openstack]
#
# `openstack` is apart because its packages are by far the largest. The environments are made first, so that the time
# for making them is not a test's; one that cannot be made is told, and its tests say that they were skipped.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
tier=${1:-all}
case $tier in
    all) environments=(debian light openstack) ;;
    light) environments=(debian light) ;;
    openstack) environments=(openstack) ;;
    *) echo "test-consumers: '$tier' is no tier (all, light or openstack)" >&2; exit 2 ;;
esac

"$HERE/cloud-init-env.sh" || true
for environment in "${environments[@]}"; do
    "$HERE/consumers-env.sh" "$environment" || true
done

tests=()
for file in tests/consumers*.rs; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .rs)
    case $tier:$name in
        light:*openstack* ) ;;
        openstack:*openstack* | all:* | light:*) tests+=("--test=$name") ;;
    esac
done
[ ${#tests[@]} -gt 0 ] || { echo "test-consumers: no test of tier '$tier'" >&2; exit 1; }

COVIRT_SKIPS=$(mktemp)
export COVIRT_SKIPS
trap 'rm -f "$COVIRT_SKIPS"' EXIT
code=0
cargo test --locked --no-fail-fast "${tests[@]}" || code=$?
if [ -s "$COVIRT_SKIPS" ]; then
    printf '\n== could not run here\n'
    cat "$COVIRT_SKIPS"
fi
exit $code
