#!/bin/sh
# Installs the command line `nacre`, for one user, with its engine, manual pages and completions. Nothing is unpacked before its SHA-256
# is the one in the release's SHA256SUMS.
#
# usage: sh install.sh [VERSION]
# PREFIX is where it goes ($HOME/.local); NACRE_RELEASES the address below which each version's files are.
set -eu

# The release fills in both.
version=${1:-}
releases=${NACRE_RELEASES:-}
prefix=${PREFIX:-$HOME/.local}

fail() { printf 'install: %s\n' "$*" >&2; exit 1; }
[ -n "$version" ] || fail 'which version? sh install.sh VERSION'
[ -n "$releases" ] || fail 'NACRE_RELEASES is not set: the address below which each version is, such as https://HOST/releases/download'
[ "$(uname -s)" = Linux ] || fail "this is $(uname -s): the engine needs Linux"
case $(uname -m) in
x86_64 | aarch64) ;;
*) fail "this is $(uname -m): releases are for x86_64 and aarch64" ;;
esac
for program in curl sha256sum tar gzip; do
    command -v "$program" >/dev/null 2>&1 || fail "$program is missing"
done

name=nacre-$version-$(uname -m)-linux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for file in SHA256SUMS "$name.tar.gz"; do
    curl --fail --silent --show-error --location --retry 3 --output "$work/$file" "$releases/v$version/$file" ||
        fail "$releases/v$version/$file cannot be downloaded"
done
# The one line of this archive: a list without it proves nothing.
grep "  $name\.tar\.gz\$" "$work/SHA256SUMS" >"$work/sum" || fail "SHA256SUMS does not name $name.tar.gz"
(cd "$work" && sha256sum --check --status sum) || fail "$name.tar.gz is not what SHA256SUMS says: nothing was installed"

tar -xzf "$work/$name.tar.gz" -C "$work"
mkdir -p "$prefix/lib" "$prefix/bin" "$prefix/share/man/man1" "$prefix/share/bash-completion/completions"
rm -rf "${prefix:?}/lib/$name"
mv "$work/$name" "$prefix/lib/$name"
ln -sf "$prefix/lib/$name/nacre" "$prefix/bin/nacre"
for page in "$prefix/lib/$name/man/"*.1; do ln -sf "$page" "$prefix/share/man/man1/"; done
ln -sf "$prefix/lib/$name/completions/nacre.bash" "$prefix/share/bash-completion/completions/nacre"
"$prefix/bin/nacre" --version
echo "installed: $prefix/bin/nacre; packages for nacre deploy: $prefix/lib/$name/packages"
case :$PATH: in
*":$prefix/bin:"*) ;;
*) echo "$prefix/bin is not in PATH" ;;
esac
