#!/usr/bin/env bash
# Builds the Debian package: build-deb.sh [DIRECTORY]
#
# It cross-builds a static binary, so any machine with Go 1.26 will do, and puts the package there as
# syllecta_ARCH.deb. The same sources make the same bytes. From the environment:
#   ARCH     amd64 or arm64, whatever Go and Debian both know; by default that of this machine
#   VERSION  of the package and the binary; by default that in version.go
set -euo pipefail

packaging=$(cd "$(dirname "$0")" && pwd)
command=$(dirname "$packaging")
out=$(mkdir -p "${1:-.}" && cd "${1:-.}" && pwd)
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4

ARCH=${ARCH:-$(go env GOARCH)}
VERSION=${VERSION:-$(sed -n 's/^var version = "\(.*\)"$/\1/p' "$command/version.go")}
[ -n "$VERSION" ] || { echo 'no version' >&2; exit 1; }
binary_version=$VERSION
VERSION=${VERSION//-/\~} # 0.1.0~dev is older than 0.1.0
# When the sources were made; without a repository nobody knows.
commit_date() { TZ=UTC0 git -C "$command" log -1 --date="format-local:$1" --format=%cd 2>/dev/null; }
SOURCE_DATE_EPOCH=$(commit_date %s || echo 0)
changelog_date=$(LC_ALL=C commit_date '%a, %d %b %Y %H:%M:%S +0000' || echo 'Thu, 01 Jan 1970 00:00:00 +0000')
export ARCH VERSION SOURCE_DATE_EPOCH

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# compile FILE GOOS GOARCH
compile() {
  (cd "$command" && CGO_ENABLED=0 GOOS=$2 GOARCH=$3 \
    go build -trimpath -ldflags "-s -w -X main.version=$binary_version" -o "$1" .)
}
compile "$build/syllecta" linux "$ARCH"
syllecta=$build/syllecta
if [ "$(go env GOHOSTOS)/$(go env GOHOSTARCH)" != "linux/$ARCH" ]; then
  syllecta=$build/syllecta-here
  compile "$syllecta" "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)"
fi

mkdir -p "$build/man" "$build/completion"
"$syllecta" generate man "$build/man"
gzip -9n "$build"/man/*
for shell in bash zsh fish; do
  "$syllecta" completion "$shell" >"$build/completion/$shell"
done
cat >"$build/changelog.Debian" <<END
syllecta ($VERSION-1) unstable; urgency=medium

  * Version $binary_version.

 -- The Syllecta authors <maintainers@syllecta.invalid>  $changelog_date
END
gzip -9n "$build/changelog.Debian"

cp "$packaging"/{nfpm.yaml,copyright,lintian-overrides,syllecta.*,*install.sh,*remove.sh} "$build"
(cd "$build" && go run "$nfpm" package --config nfpm.yaml --packager deb --target "$out/syllecta_$ARCH.deb")
