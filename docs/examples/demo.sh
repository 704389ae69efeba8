#!/bin/sh
# The main job, on the simulated market: bid, launch, stream the logs, show the accuracy and the cost, leave nothing.
set -eu
cd "$(dirname "$0")/digits"
FLOW_STATE_DIR=$(mktemp -d)
export FLOW_STATE_DIR FLOW_PROVIDER=mock
trap 'rm -rf "$FLOW_STATE_DIR"' EXIT

echo "\$ flow submit 'python train.py' -i 8xh100 --name digits"
flow submit "python train.py" -i 8xh100 --name digits
echo
echo "\$ flow status digits"
flow status digits
