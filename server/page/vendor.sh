#!/usr/bin/env bash
# Fetches the page's two libraries anew: `server/page/vendor.sh`. Where the packages come from is
# npm's own setting. What lands in vendor/ is committed, so that nothing is fetched at run time.
set -euo pipefail
cd "$(dirname "$0")/vendor"

MARKED=18.2.1
DOMPURIFY=3.4.18

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # package, version
  (cd "$work" && npm pack --silent "$1@$2" >/dev/null && mkdir "$1" &&
    tar -xzf "$1-$2.tgz" -C "$1" --strip-components=1)
}

fetch marked "$MARKED"
fetch dompurify "$DOMPURIFY"

# Without the links to source maps, which are not served here.
strip() { sed '/^\/\/# sourceMappingURL=/d' "$1"; }
strip "$work/marked/lib/marked.esm.js" >marked.js
strip "$work/dompurify/dist/purify.es.mjs" >dompurify.js
cat "$work"/marked/LICENSE* >marked.LICENSE.txt
cat "$work"/dompurify/LICENSE* >dompurify.LICENSE.txt
printf '{"marked": "%s", "dompurify": "%s"}\n' "$MARKED" "$DOMPURIFY" >versions.json
