#!/bin/sh
# The node helper's own interpreter: with its own loader and libraries, so that it runs in any image, whatever C library
# that has, and leaves the image's own Python, if it has one, to the user.
here=/opt/flow-python
[ -z "$FLOW_FIRST" ] || set -- -c 'import gc; gc.disable(); import flow_first; exec = flow_first.executed; exec(flow_first.begun())' "$@"
exec "$here/lib/loader" --argv0 "$here/bin/python3" --library-path "$here/lib" "$here/bin/python" -I -S "$@"
