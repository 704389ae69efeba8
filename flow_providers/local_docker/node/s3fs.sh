#!/bin/sh
# The s3fs that Flow brought, with its own loader and libraries; authorities are the image's own where it names some.
here=/opt/flow-s3fs
export CURL_CA_BUNDLE="${CURL_CA_BUNDLE:-$here/ca.pem}"
exec "$here/lib/loader" --library-path "$here/lib" "$here/bin/program" "$@"
